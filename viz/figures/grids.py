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
from probes.causal.tables import GridStats
from viz.figures.cells import SIGNIFICANT, Shown, hovers, marks, summarise, table_rows
from viz.figures.dots import cell_dots
from viz.figures.heatmaps import finish_heatmap, nested
from viz.figures.marks import HOVER, UNSEEN
from viz.text import show_spaces, token_label

_DOT = "rgba(127,135,146,0.6)"
_VEIL, _HATCH = "rgba(127,135,146,0.2)", "rgba(127,135,146,0.8)"
_SLIDER_HEIGHT = 84  # px
_GREY = "rgba(127,135,146,{})"  # holds on both papers
# The half-width that the colours' range has at least: heads recover little each.
_LEAST = {("layer", "position"): 1.0, ("layer", "head"): 0.05, ("layer", "head", "position"): 0.05}


def grid_figure(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """Mean normalised recovery of every cell; layer 0 at the bottom; `stats` spares the resampling.

    Unitless: 0 leaves the run patched into as it was, 1 is the whole effect of patching
    everything; where the interval of the full effect reaches 0, the mean effect in the metric's
    unit instead. Hover gives effect and recovery with their 95 % paired bootstrap intervals, the
    q value (sign flips, Benjamini-Hochberg over the cells) and n. Cells with q > 0.05 carry a dot;
    undefined cells are hatched. Draw the two directions as two figures.

    The slider starts at the token with the largest absolute value of any cell. The colours are the
    same at every token, so tokens can be compared.

    Raises:
        ValueError: axes for which there is no figure, fewer than 2 examples, or a label missing.
    """
    if len(grid.axes) == 1:
        return cell_dots(grid, seed, stats)
    known = ", ".join(" x ".join(axes) for axes in _LEAST)
    got = " x ".join(grid.axes)
    expect(grid.axes in _LEAST, f"a list or a grid of {known}", got, "transpose the grid")
    what, figure = summarise(grid, seed, stats), go.Figure()
    texts = hovers(grid, what)
    for at in range(texts.shape[2]) if texts.ndim == 3 else [...]:
        _add_cells(figure, what, texts, at)
    slider = _slide(figure, grid, what) if texts.ndim == 3 else {"about": ""}
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
    heat = {"z": nested(value), "text": np.where(defined.numpy(), texts[where], "").tolist()}
    figure.add_heatmap(coloraxis="coloraxis", name="patched", **heat, **cells)
    _add_marks(figure, q > SIGNIFICANT, f"q > {SIGNIFICANT}", size=3, color=_DOT)
    if bool(what.stats.defined.all()):
        return
    veil = {"z": nested(torch.where(defined, torch.nan, 0.0))}
    veil["text"] = np.where(defined.numpy(), "", texts[where]).tolist()
    flat = {"colorscale": [[0, _VEIL], [1, _VEIL]], "showscale": False, "autocolorscale": False}
    figure.add_heatmap(name="undefined", **veil, **flat, **cells)
    line = {"width": 1, "color": _HATCH}
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
        "bgcolor": _GREY.format(0.35),
        "activebgcolor": _GREY.format(0.9),
        "bordercolor": _GREY.format(0.7),
        "tickcolor": _GREY.format(0.7),
        "ticklen": 4,
        "minorticklen": 0,
        "transition": {"duration": 0},
    }
    note = f"; the slider starts at the strongest token, {names[start]}"
    return {"about": note, "sliders": [slider], "below": _SLIDER_HEIGHT}
