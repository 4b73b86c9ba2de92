"""Layer by head heatmaps of one token at a time, with a slider over the tokens."""

import plotly.graph_objects as go

from circuits.types import PatchGrid
from probes.causal.tables import GridStats
from viz.figures.cells import Shown
from viz.figures.heatmaps import LEAST_HEADS, cells_of, finish_grid, head_axis
from viz.text import token_label

_SLIDER_HEIGHT = 84  # px
_GREY = "rgba(127,135,146,{})"  # holds on both papers


def head_position_heatmap(
    grid: PatchGrid, seed: int = 0, stats: GridStats | None = None
) -> go.Figure:
    """Recovery of every (layer, head) cell at one token; the slider chooses the token.

    It starts at the token with the largest absolute value of any cell. The colours are the same at
    every token, so tokens can be compared; marks and hover are those of `patching_heatmap`.

    Raises:
        ValueError: fewer than 2 examples, other axes, or a label missing.
    """
    figure, what, tokens = cells_of(grid, ("layer", "head", "position"), seed, stats)
    each, start = len(figure.data) // tokens, _strongest(what)
    names = [f"{token_label(label)} ({at})" for at, label in enumerate(grid.labels)]
    flags = [[i // each == at for i in range(tokens * each)] for at in range(tokens)]
    for trace, visible in zip(figure.data, flags[start], strict=True):
        trace.visible = visible
    steps = [
        {"label": name, "method": "restyle", "args": [{"visible": visible}]}
        for name, visible in zip(names, flags, strict=True)
    ]
    note = f"; the slider starts at the strongest token, {names[start]}"
    slider = {"sliders": [_slider(steps, start)], "below": _SLIDER_HEIGHT}
    return finish_grid(figure, grid, what, LEAST_HEADS, head_axis(grid), note, **slider)


def _strongest(what: Shown) -> int:
    """The index along the last axis with the largest absolute value; 0 if none is defined."""
    return int(what.value.abs().nan_to_num(-1.0).flatten(0, -2).amax(dim=0).argmax())


def _slider(steps: list[dict], start: int) -> dict:
    """A quiet slider below the plot."""
    return {
        "active": start,
        "steps": steps,
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
