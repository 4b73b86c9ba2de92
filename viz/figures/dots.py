"""Dot plots with intervals: grids whose cells form a list (sites, senders, layers)."""

from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from circuits.errors import expect
from circuits.types import PatchGrid
from probes.causal.tables import LABELLED, GridStats
from viz.figures.cells import SIGNIFICANT, UNDEFINED, Shown, hovers, summarise, table_rows
from viz.figures.marks import HOVER, finish, name_rows
from viz.text import shorten, show_spaces, wrap
from viz.theme import BLUE, GREY

_MOST_ROWS, _LINE = 40, 20  # characters to a line


def cell_dots(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """Recovery of every cell of a list with its 95 % interval: a row per cell, or a layer axis.

    Cells and senders are sorted by absolute value; of more than 40 the strongest are drawn, and
    the figure's numbers hold all. Unit and hover are those of `patching_heatmap`. Hollow dots have
    q > 0.05. Undefined cells come last, as grey crosses on the line of 0 with their own legend.

    Raises:
        ValueError: fewer than 2 examples, more than one axis, or a label missing.
    """
    expect(len(grid.axes) == 1, "a grid of one axis", " x ".join(grid.axes), "use grid_figure")
    what = summarise(grid, seed, stats)
    rows, named = table_rows(grid, what), grid.axes[0] in LABELLED
    order = _order(what.value)[:_MOST_ROWS] if named else list(range(len(rows)))
    figure = go.Figure()
    texts = hovers(grid, what).tolist()
    for name, kept, marker in _groups(what.stats):
        at = [place for place, i in enumerate(order) if bool(kept[i])]
        if at:
            chosen = [order[place] for place in at]
            value = what.value[chosen].nan_to_num(0.0).tolist()
            places = {"x": value, "y": at} if named else {"x": at, "y": value}
            places["error_x" if named else "error_y"] = _bars(what, chosen)
            hover = {"text": [texts[i] for i in chosen], "hovertemplate": HOVER}
            figure.add_scatter(mode="markers", marker=marker, name=name, **places, **hover)
    note = f"; the {len(order)} strongest of {len(rows)} cells" if len(order) < len(rows) else ""
    labels = [_two_lines(grid.labels[i]) for i in order] if named else []
    # A row is as high as the longest name.
    lines = max((1 + label.count("<br>") for label in labels), default=0)
    step = 1 if len(order) <= 12 else 5
    ticks = {"title_text": f"{grid.axes[0]} patched", "dtick": step, "tick0": 0}
    zero = {"zeroline": True, "zerolinecolor": GREY, "zerolinewidth": 1, "rangemode": "tozero"}
    values = {"title_text": what.name, **zero}
    return finish(
        figure,
        what.title,
        f"{what.about}; bars: 95% bootstrap{note}",
        170 + len(labels) * (9 + 13 * lines) if named else 380,
        rows,
        half=not named,
        x=values if named else ticks,
        y=name_rows(labels) if named else values,
    )


def _groups(stats: GridStats) -> list[tuple[str, Tensor, dict[str, Any]]]:
    """Name, membership and marker of the cells that are told apart."""
    sure, hollow = {"color": BLUE, "size": 8}, {"symbol": "circle-open"}
    cross = {"symbol": "x-thin", "size": 9, "line": {"width": 1.5, "color": GREY}}
    return [
        (f"q ≤ {SIGNIFICANT}", stats.q <= SIGNIFICANT, sure),
        (f"q > {SIGNIFICANT}", stats.q > SIGNIFICANT, {**sure, **hollow}),
        (UNDEFINED, ~stats.defined, cross),
    ]


def _order(value: Tensor) -> list[int]:
    """The cells by falling absolute value, undefined ones last; ties keep their order."""
    return torch.argsort(value.abs().nan_to_num(-1.0), descending=True, stable=True).tolist()


def _bars(what: Shown, chosen: list[int]) -> dict[str, Any]:
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


def _two_lines(label: str) -> str:
    """A label in at most two short lines, escaped; the hover has it whole."""
    lines = wrap(shorten(show_spaces(label), 2 * _LINE), _LINE).split("<br>")
    return "<br>".join(lines[:2]) + ("…" if len(lines) > 2 else "")
