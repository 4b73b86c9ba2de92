"""Layer by head heatmaps of one token at a time, with a slider over the tokens."""

import plotly.graph_objects as go

from circuits.types import PatchGrid
from probes.causal.tables import GridStats
from viz.data import layout_of
from viz.figures.cells import Shown, hovers, shown
from viz.figures.heatmaps import add_cells, check_kind, finished, head_axis
from viz.text import token_label

_SLIDER_HEIGHT = 84  # px


def head_position_heatmap(
    grid: PatchGrid, seed: int = 0, stats: GridStats | None = None
) -> go.Figure:
    """Recovery of every (layer, head) cell at one token; the slider chooses the token.

    It starts at the token with the largest absolute value of any cell. The colours are the same at
    every token, so tokens can be compared; marks and hover are those of `patching_heatmap`.

    Raises:
        ValueError: fewer than 2 examples, other axes, or a label missing.
    """
    check_kind(grid, ("layer", "head", "position"))
    what = shown(grid, seed, stats)
    texts = hovers(grid, what)
    figure = go.Figure()
    count = texts.shape[2]
    for at in range(count):
        add_cells(figure, what, texts, at)
    each = len(tuple(figure.select_traces())) // count
    start = _strongest(what)
    names = [f"{token_label(label)} ({at})" for at, label in enumerate(grid.labels)]
    note = f"; the slider starts at the strongest token, {names[start]}"
    finished(figure, grid, what, 0.05, note)
    head_axis(figure, texts.shape[1])
    visible = [[at // each == chosen for at in range(count * each)] for chosen in range(count)]
    figure.update_traces(visible=False)
    for at in range(start * each, (start + 1) * each):
        figure.update_traces(visible=True, selector=at)
    steps = [
        {"label": name, "method": "restyle", "args": [{"visible": flags}]}
        for name, flags in zip(names, visible, strict=True)
    ]
    layout = layout_of(figure)
    height = layout["height"] + _SLIDER_HEIGHT
    place = 1 - (1 - layout["title"]["y"]) * layout["height"] / height
    figure.update_layout(
        sliders=[_slider(steps, start)],
        height=height,
        title_y=place,
        margin_b=60 + _SLIDER_HEIGHT,
    )
    return figure


def _strongest(what: Shown) -> int:
    """The index along the last axis with the largest absolute value; 0 if none is defined."""
    return int(what.value.abs().nan_to_num(-1.0).flatten(0, -2).amax(dim=0).argmax())


def _slider(steps: list[dict], start: int) -> dict:
    """A quiet slider below the plot, in greys that hold on both papers."""
    return {
        "active": start,
        "steps": steps,
        "currentvalue": {"prefix": "token patched: ", "xanchor": "left", "offset": 12},
        "x": 0,
        "len": 1,
        "pad": {"t": 52, "b": 0, "l": 0, "r": 0},
        "font": {"size": 10.5},
        "bgcolor": "rgba(127,135,146,0.35)",
        "activebgcolor": "rgba(127,135,146,0.9)",
        "bordercolor": "rgba(127,135,146,0.7)",
        "tickcolor": "rgba(127,135,146,0.7)",
        "ticklen": 4,
        "minorticklen": 0,
        "transition": {"duration": 0},
    }
