"""Dot plots with intervals: grids whose cells form a list (sites, senders, layers)."""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from circuits.types import PatchGrid
from probes.causal.tables import LABELLED, GridStats
from viz.data import with_data
from viz.figures.cells import SIGNIFICANT, UNDEFINED, Shown, hovers, shown, table_rows
from viz.text import shortened, spaced, wrapped
from viz.theme import BLUE, GREY, titled

_MOST_ROWS, _LINE = 40, 20  # characters to a line


def cell_dots(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """Recovery of every cell of a list with its 95 % interval: a row per cell, or a layer axis.

    Cells and senders are sorted by absolute value; of more than 40 the strongest are drawn, and
    the figure's numbers hold all. Unit and hover are those of `patching_heatmap`. Hollow dots have
    q > 0.05. Undefined cells come last, as grey crosses on the line of 0 with their own legend.

    Raises:
        ValueError: fewer than 2 examples, more than one axis, or a label missing.
    """
    if len(grid.axes) != 1:
        got = " x ".join(grid.axes)
        raise ValueError(f"expected a grid of one axis, got {got}; use grid_figure")
    what = shown(grid, seed, stats)
    header, rows = table_rows(grid, what)
    named = grid.axes[0] in LABELLED
    order = _order(what.value)[:_MOST_ROWS] if named else list(range(len(rows)))
    figure = go.Figure()
    texts = hovers(grid, what).tolist()
    for name, kept, marker in _groups(what.stats):
        at = [place for place, i in enumerate(order) if bool(kept[i])]
        chosen = [order[place] for place in at]
        if chosen:
            value = what.value[chosen].nan_to_num(0.0).tolist()
            x, y = (value, at) if named else (at, value)
            figure.add_scatter(
                x=x,
                y=y,
                mode="markers",
                marker=marker,
                name=name,
                text=[texts[i] for i in chosen],
                hovertemplate="%{text}<extra></extra>",
                **{"error_x" if named else "error_y": _bars(what, chosen)},
            )
    note = f"; the {len(order)} strongest of {len(rows)} cells" if len(order) < len(rows) else ""
    height = 380
    if named:
        height = 170 + _name_rows(figure, [grid.labels[i] for i in order])
    else:
        step = 1 if len(order) <= 12 else 5
        figure.update_xaxes(title_text=f"{grid.axes[0]} patched", dtick=step, tick0=0)
    figure.update_layout(titled(what.title, f"{what.about}; bars: 95% bootstrap{note}", height))
    values = figure.update_xaxes if named else figure.update_yaxes
    values(
        title_text=what.name, zeroline=True, zerolinecolor=GREY, zerolinewidth=1, rangemode="tozero"
    )
    return with_data(figure, header, rows, half=not named)


def _groups(stats: GridStats) -> list[tuple[str, Tensor, dict]]:
    """Name, membership and marker of the cells that are told apart."""
    cross = {"symbol": "x-thin", "size": 9, "line": {"width": 1.5, "color": GREY}}
    return [
        (f"q ≤ {SIGNIFICANT}", stats.q <= SIGNIFICANT, {"color": BLUE, "size": 8}),
        (
            f"q > {SIGNIFICANT}",
            stats.q > SIGNIFICANT,
            {"color": BLUE, "size": 8, "symbol": "circle-open"},
        ),
        (UNDEFINED, ~stats.defined, cross),
    ]


def _order(value: Tensor) -> list[int]:
    """The cells by falling absolute value, undefined ones last; ties keep their order."""
    return torch.argsort(value.abs().nan_to_num(-1.0), descending=True, stable=True).tolist()


def _bars(what: Shown, chosen: list[int]) -> dict:
    """The intervals of these cells; an undefined cell has none."""
    above, below = what.high - what.value, what.value - what.low
    return {
        "type": "data",
        "array": above[chosen].nan_to_num(0.0).tolist(),
        "arrayminus": below[chosen].nan_to_num(0.0).tolist(),
        "thickness": 1.4,
        "width": 3,
        "color": GREY,
        "visible": bool(above[chosen].isfinite().all()),
    }


def _name_rows(figure: go.Figure, labels: Sequence[str]) -> int:
    """Names the rows, on short lines so that a phone has room for the dots; their height in px."""
    texts = [_two_lines(label) for label in labels]
    figure.update_yaxes(
        tickvals=list(range(len(texts))),
        ticktext=texts,
        range=[len(texts) - 0.4, -0.6],
        showgrid=False,
        ticks="",
    )
    return len(texts) * (9 + 13 * max(1 + text.count("<br>") for text in texts))


def _two_lines(label: str) -> str:
    """A label in at most two short lines, escaped; the hover has it whole."""
    lines = wrapped(shortened(spaced(label), 2 * _LINE), _LINE).split("<br>")
    return "<br>".join(lines[:2]) + ("…" if len(lines) > 2 else "")
