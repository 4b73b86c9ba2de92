"""A patch grid of any kind as a figure: cells by layer and column, or a list of them as dots.

A third axis of tokens is a slider over layer by head heatmaps.
"""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from circuits.errors import expect
from circuits.types import PatchGrid
from probes.causal.tables import LABELLED, GridStats
from viz.data import to_plain
from viz.figures.cells import SIGNIFICANT, UNDEFINED, Shown, hovers, marks, summarise, table_rows
from viz.figures.heatmaps import finish_heatmap
from viz.figures.marks import HOVER, UNSEEN, finish, name_rows
from viz.text import shorten, show_spaces, token_label, wrap
from viz.theme import BLUE, GREY, fade

_MOST_ROWS, _LINE = 40, 20  # characters to a line
_SLIDER_HEIGHT = 84  # px
# The half-width that the colours' range has at least: heads recover little each.
_LEAST = {("layer", "position"): 1.0, ("layer", "head"): 0.05, ("layer", "head", "position"): 0.05}


def grid_figure(grid: PatchGrid, stats: GridStats | None = None) -> go.Figure:
    """Mean normalised recovery of every cell; layer 0 at the bottom; `stats`, if known.

    Unitless: 0 leaves the run patched into as it was, 1 is the whole effect of patching
    everything; where the interval of the full effect reaches 0, the mean effect in the metric's
    unit instead. Hover gives effect and recovery with their 95 % intervals, the q value
    (Benjamini-Hochberg over the cells) and n. Cells with q > 0.05 carry a dot;
    undefined cells are hatched. Draw the two directions as two figures.

    The slider starts at the token with the largest absolute value of any cell. The colours are the
    same at every token, so tokens can be compared.

    Raises:
        ValueError: axes for which there is no figure, fewer than 2 examples, or a label missing.
    """
    if len(grid.axes) == 1:
        return cell_dots(grid, stats)
    known = ", ".join(" x ".join(axes) for axes in _LEAST)
    got = " x ".join(grid.axes)
    expect(grid.axes in _LEAST, f"a list or a grid of {known}", got, "transpose the grid")
    what, figure = summarise(grid, stats), go.Figure()
    texts = hovers(grid, what)
    for at in range(texts.shape[2]) if texts.ndim == 3 else [...]:
        _add_cells(figure, what, texts, at)
    slider: dict[str, Any] = _slide(figure, grid, what) if texts.ndim == 3 else {"about": ""}
    limit = _limit(what, _LEAST[grid.axes])
    return finish_heatmap(
        figure,
        grid.values.shape[0],
        what.title,
        bar=what.name,
        ends=(-limit, limit),
        rows=table_rows(grid, what),
        x=_token_axis(grid) if grid.axes[1] == "position" else _head_axis(grid),
        **{**slider, "about": f"{what.about}; {marks(what)}{slider['about']}"},
    )


def _token_axis(grid: PatchGrid) -> dict[str, Any]:
    return {
        "title_text": "token patched",
        "tickvals": list(range(len(grid.labels))),
        "ticktext": [token_label(label) for label in grid.labels],
        "tickangle": -45 if any(len(show_spaces(label)) > 3 for label in grid.labels) else 0,
    }


def _head_axis(grid: PatchGrid) -> dict[str, Any]:
    """At most 16 ticks, without the room that markers would add."""
    heads = grid.values.shape[1]
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, heads) if heads <= 16 * s)
    return {
        "title_text": "head patched",
        "tick0": 0,
        "dtick": step,
        "tickangle": 0,
        "range": [-0.5, heads - 0.5],
    }


def _add_cells(figure: go.Figure, what: Shown, texts: np.ndarray, at: Any) -> None:
    """Heat, dots and hatching of the cells `[..., at]`, with hover; as many traces for every at."""
    where = at if at is ... else (..., at)
    value, q, defined = (p[where] for p in (what.value, what.stats.q, what.stats.defined))
    rows, columns = value.shape
    cells = {"x": list(range(columns)), "y": list(range(rows)), "xgap": 2, "hoverongaps": False}
    cells["hovertemplate"] = HOVER
    heat = {
        "z": to_plain(value.tolist()),
        "text": np.where(defined.numpy(), texts[where], "").tolist(),
    }
    figure.add_heatmap(coloraxis="coloraxis", name="patched", **heat, **cells)
    _add_marks(figure, q > SIGNIFICANT, f"q > {SIGNIFICANT}", size=3, color=fade(GREY, 0.6))
    if bool(what.stats.defined.all()):
        return
    veil = {"z": to_plain(torch.where(defined, torch.nan, 0.0).tolist())}
    veil["text"] = np.where(defined.numpy(), "", texts[where]).tolist()
    scale = [[end, fade(GREY, 0.2)] for end in (0, 1)]
    flat = {"colorscale": scale, "showscale": False, "autocolorscale": False}
    figure.add_heatmap(name="undefined", **veil, **flat, **cells)
    line = {"width": 1, "color": fade(GREY, 0.8)}
    _add_marks(figure, ~defined, "hatching", symbol="line-ne", size=9, line=line)


def _add_marks(figure: go.Figure, at: Tensor, name: str, **marker: object) -> None:
    """A mark on every cell that is True; it has no hover of its own."""
    rows, columns = (part.tolist() for part in at.nonzero(as_tuple=True))
    figure.add_scatter(**{**UNSEEN, "mode": "markers"}, x=columns, y=rows, marker=marker, name=name)


def _limit(what: Shown, at_least: float) -> float:
    """Half-width of the colours' range; recoveries end at 1.5 so that one cell cannot wash out."""
    finite = what.value[what.value.isfinite()]
    largest = float(finite.abs().max()) if len(finite) else 0.0
    return min(1.5, max(at_least, largest)) if what.scaled else max(largest, 1e-6)


def _slide(figure: go.Figure, grid: PatchGrid, what: Shown) -> dict[str, Any]:
    """Shows one token's traces at a time; returns the quiet slider below the plot."""
    tokens = len(grid.labels)
    each = len(figure.data) // tokens
    start = int(what.value.abs().nan_to_num(-1.0).flatten(0, -2).amax(dim=0).argmax())
    names = [f"{token_label(label)} ({at})" for at, label in enumerate(grid.labels)]
    flags = [[i // each == at for i in range(tokens * each)] for at in range(tokens)]
    for trace, visible in zip(figure.data, flags[start], strict=True):
        trace.visible = visible
    slider = {
        "active": start,
        "steps": [
            {"label": name, "method": "restyle", "args": [{"visible": visible}]}
            for name, visible in zip(names, flags, strict=True)
        ],
        "currentvalue": {"prefix": "token patched: ", "xanchor": "left", "offset": 12},
        "x": 0,
        "len": 1,
        "pad": {"t": 52, "b": 0, "l": 0, "r": 0},
        "font": {"size": 10.5},
        "bgcolor": fade(GREY, 0.35),
        "activebgcolor": fade(GREY, 0.9),
        "bordercolor": fade(GREY, 0.7),
        "tickcolor": fade(GREY, 0.7),
        "ticklen": 4,
        "minorticklen": 0,
        "transition": {"duration": 0},
    }
    note = f"; the slider starts at the strongest token, {names[start]}"
    return {"about": note, "sliders": [slider], "below": _SLIDER_HEIGHT}


def cell_dots(grid: PatchGrid, stats: GridStats | None = None) -> go.Figure:
    """Recovery of every cell of a list with its 95 % interval: a row per cell, or a layer axis.

    Cells and senders are sorted by absolute value; of more than 40 the strongest are drawn, and
    the figure's numbers hold all. Unit and hover are those of `patching_heatmap`. Hollow dots have
    q > 0.05. Undefined cells come last, as grey crosses on the line of 0 with their own legend.

    Raises:
        ValueError: fewer than 2 examples, more than one axis, or a label missing.
    """
    expect(len(grid.axes) == 1, "a grid of one axis", " x ".join(grid.axes), "use grid_figure")
    what = summarise(grid, stats)
    rows, named = table_rows(grid, what), grid.axes[0] in LABELLED
    # By falling absolute value, undefined ones last; ties keep their order.
    strongest = what.value.abs().nan_to_num(-1.0).argsort(descending=True, stable=True)
    order = strongest[:_MOST_ROWS].tolist() if named else list(range(len(rows)))
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
