"""Layer by column heatmaps: patching recovery by token or by head, and the scores of sites."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import PatchGrid
from probes.causal.tables import GridStats
from viz.data import with_data
from viz.figures.cells import SIGNIFICANT, Shown, hovers, marks, shown, table_rows
from viz.text import escaped, spaced, token_label
from viz.theme import VERMILION, titled

_DOT = "rgba(127,135,146,0.6)"
_VEIL, _HATCH = "rgba(127,135,146,0.2)", "rgba(127,135,146,0.8)"


def patching_heatmap(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """Mean normalised recovery of every (layer, token) cell; layer 0 at the bottom.

    Unitless: 0 leaves the run patched into as it was, 1 is the whole effect of patching
    everything; where the interval of the full effect reaches 0, the mean effect in the metric's
    unit instead. Hover gives effect and recovery with their 95 % paired bootstrap intervals, the
    q value (sign flips, Benjamini-Hochberg over the cells) and n. Cells with q > 0.05 carry a dot;
    undefined cells are hatched. Draw the two directions as two figures.

    Raises:
        ValueError: fewer than 2 examples, other axes, or a label missing.
    """
    check_kind(grid, ("layer", "position"))
    what = shown(grid, seed, stats)
    figure = _patched(grid, what, at_least=1.0)
    figure.update_xaxes(
        title_text="token patched",
        tickvals=list(range(len(grid.labels))),
        ticktext=[token_label(label) for label in grid.labels],
        tickangle=-45 if any(len(spaced(label)) > 3 for label in grid.labels) else 0,
    )
    return figure


def head_heatmap(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """The same of every (layer, head) cell. The colours span the largest recovery found.

    Raises:
        ValueError: fewer than 2 examples, or other axes.
    """
    check_kind(grid, ("layer", "head"))
    figure = _patched(grid, shown(grid, seed, stats), at_least=0.05)
    head_axis(figure, grid.values.shape[1])
    return figure


def check_kind(grid: PatchGrid, axes: tuple[str, ...]) -> None:
    """Raises ValueError unless the grid has these axes."""
    if grid.axes != axes:
        got = " x ".join(grid.axes)
        raise ValueError(f"expected a grid of {' x '.join(axes)}, got {got}; use grid_figure")


def add_cells(figure: go.Figure, what: Shown, texts: np.ndarray, at: int | None = None) -> None:
    """Heat, dots and hatching of the cells `[:, :, at]` (all, if they have two axes), with hover.

    The number of traces is the same for every `at`.
    """
    where = ... if at is None else (..., at)
    value, q, defined = (p[where] for p in (what.value, what.stats.q, what.stats.defined))
    texts = texts[where]
    rows, columns = value.shape
    cells = {"x": list(range(columns)), "y": list(range(rows)), "xgap": 2, "hoverongaps": False}
    cells["hovertemplate"] = "%{text}<extra></extra>"
    heat = {"z": _nested(value), "text": np.where(defined.numpy(), texts, "").tolist()}
    figure.add_heatmap(coloraxis="coloraxis", name="patched", **heat, **cells)
    _add_marks(figure, q > SIGNIFICANT, f"q > {SIGNIFICANT}", size=3, color=_DOT)
    if bool(what.stats.defined.all()):
        return
    veil = {"z": _nested(torch.where(defined, torch.nan, 0.0))}
    veil["text"] = np.where(defined.numpy(), "", texts).tolist()
    flat = {"colorscale": [[0, _VEIL], [1, _VEIL]], "showscale": False, "autocolorscale": False}
    figure.add_heatmap(name="undefined", **veil, **flat, **cells)
    line = {"width": 1, "color": _HATCH}
    _add_marks(figure, ~defined, "hatching", symbol="line-ne", size=9, line=line)


def finished(
    figure: go.Figure, grid: PatchGrid, what: Shown, at_least: float, subtitle: str = ""
) -> go.Figure:
    """Title, colour range (symmetric, at least so wide) and numbers of a grid's heatmap."""
    limit = _limit(what, at_least)
    about = f"{what.about}; {marks(what)}{subtitle}"
    figure.update_layout(_heat_layout(grid.values.shape[0], what.title, about, what.name))
    figure.update_layout(coloraxis={"cmin": -limit, "cmax": limit})
    return with_data(figure, *table_rows(grid, what), half=True)


def head_axis(figure: go.Figure, heads: int) -> None:
    """Names the horizontal axis; at most 16 ticks, without the room that markers would add."""
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, heads) if heads <= 16 * s)
    figure.update_xaxes(
        title_text="head patched", tick0=0, dtick=step, tickangle=0, range=[-0.5, heads - 0.5]
    )


def _patched(grid: PatchGrid, what: Shown, at_least: float) -> go.Figure:
    figure = go.Figure()
    add_cells(figure, what, hovers(grid, what))
    return finished(figure, grid, what, at_least)


def selection_heatmap(
    necessity: Float[Tensor, "layer span"], spans: Sequence[str], chosen: tuple[int, str]
) -> go.Figure:
    """Selection score of every (layer, span) site, the chosen site outlined.

    The score's unit is the caller's (a share of the behaviour lost when the site is edited);
    scores that are not finite are blank.

    Raises:
        ValueError: the spans do not match the table, or `chosen` is not in it.
    """
    if necessity.ndim != 2 or necessity.shape[1] != len(spans):
        got = f"{tuple(necessity.shape)} and {len(spans)} spans"
        raise ValueError(f"expected necessity [layer, span], got {got}; name every column")
    layer, span = chosen
    if span not in spans or not 0 <= layer < necessity.shape[0]:
        raise ValueError(f"expected a chosen site of the table, got {chosen}; pass (layer, span)")
    column = list(spans).index(span)
    scores = necessity.to(torch.float64)
    names = [escaped(str(name)) for name in spans]
    texts, rows = [], []
    for i, line in enumerate(scores.tolist()):
        mark = [
            "<br><b>chosen site</b>" if (i, j) == (layer, column) else "" for j in range(len(line))
        ]
        shown = [f"{score:.3f}" if math.isfinite(score) else "not measured" for score in line]
        parts = zip(names, shown, mark, strict=True)
        texts.append(
            [f"layer {i}, span {name}<br>score {value}{end}" for name, value, end in parts]
        )
        pairs = zip(spans, line, strict=True)
        rows += [[i, name, score, (i, name) == (layer, span)] for name, score in pairs]
    finite = scores[scores.isfinite()]
    limit = max(float(finite.abs().max()), 1e-6) if len(finite) else 1.0
    foot = -limit if len(finite) and float(finite.min()) < -0.05 * limit else 0.0
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(spans))),
            y=list(range(len(scores))),
            z=_nested(scores),
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            name="score",
        )
    )
    figure.add_shape(
        type="rect",
        x0=column - 0.5,
        x1=column + 0.5,
        y0=layer - 0.5,
        y1=layer + 0.5,
        line={"color": VERMILION, "width": 3},
    )
    subtitle = f"outlined: the chosen site, layer {layer} at {escaped(span)}"
    title = "Selection score by site"
    figure.update_layout(_heat_layout(len(scores), title, subtitle, "selection score"))
    figure.update_layout(
        coloraxis={"cmin": foot, "cmax": limit},
    )
    figure.update_xaxes(
        title_text="token span", tickvals=list(range(len(spans))), ticktext=names, tickangle=0
    )
    return with_data(figure, ["layer", "span", "score", "chosen"], rows, half=True)


def _add_marks(figure: go.Figure, at: Tensor, name: str, **marker: object) -> None:
    """A mark on every cell that is True; it has no hover of its own."""
    rows, columns = (part.tolist() for part in at.nonzero(as_tuple=True))
    figure.add_scatter(
        x=columns,
        y=rows,
        mode="markers",
        marker=marker,
        hoverinfo="skip",
        showlegend=False,
        name=name,
    )


def _heat_layout(layers: int, title: str, subtitle: str, bar_title: str) -> dict:
    """What both heatmaps share: height by layers, a bar above, one tick every few layers."""
    step = 1 if layers <= 8 else 2 if layers <= 16 else 5
    return {
        # plotly lifts the title by some 19 px where a colour bar lies above the plot.
        **titled(title, subtitle, min(760, max(350, 205 + 13 * layers)), drop=44),
        "margin": {"t": 122},
        "yaxis": {
            "title": {"text": "layer"},
            "dtick": step,
            "tick0": 0,
            "range": [-0.5, layers - 0.5],
            "showgrid": False,
        },
        "xaxis": {"showgrid": False},
        "coloraxis": {
            "autocolorscale": True,
            "colorbar": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.015,
                "yanchor": "bottom",
                "len": 1,
                "thickness": 9,
                "xpad": 0,
                "ypad": 0,
                "nticks": 5,
                "outlinewidth": 0,
                "title": {"text": bar_title, "side": "top"},
            },
        },
    }


def _limit(what: Shown, at_least: float) -> float:
    """Half-width of the colours' range; recoveries end at 1.5 so that one cell cannot wash out."""
    finite = what.value[what.value.isfinite()]
    largest = float(finite.abs().max()) if len(finite) else 0.0
    return min(1.5, max(at_least, largest)) if what.scaled else max(largest, 1e-6)


def _nested(values: Tensor) -> list[list[float | None]]:
    return [[v if math.isfinite(v) else None for v in row] for row in values.tolist()]
