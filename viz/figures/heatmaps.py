"""Layer by column heatmaps: patching recovery by token or by head, and the scores of sites."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from circuits.types import PatchGrid
from probes.causal.tables import GridStats
from viz.figures.cells import SIGNIFICANT, Shown, hovers, marks, summarise, table_rows
from viz.figures.marks import HOVER, UNSEEN, colour_bar, finish
from viz.text import escape, show_spaces, token_label
from viz.theme import VERMILION

_DOT = "rgba(127,135,146,0.6)"
_VEIL, _HATCH = "rgba(127,135,146,0.2)", "rgba(127,135,146,0.8)"
LEAST_HEADS = 0.05  # half-width of the colours' range where heads are shown


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
    figure, what, _ = cells_of(grid, ("layer", "position"), seed, stats)
    tokens = {
        "title_text": "token patched",
        "tickvals": list(range(len(grid.labels))),
        "ticktext": [token_label(label) for label in grid.labels],
        "tickangle": -45 if any(len(show_spaces(label)) > 3 for label in grid.labels) else 0,
    }
    return finish_grid(figure, grid, what, 1.0, tokens)


def head_heatmap(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """The same of every (layer, head) cell. The colours span the largest recovery found.

    Raises:
        ValueError: fewer than 2 examples, or other axes.
    """
    figure, what, _ = cells_of(grid, ("layer", "head"), seed, stats)
    return finish_grid(figure, grid, what, LEAST_HEADS, head_axis(grid))


def cells_of(
    grid: PatchGrid, axes: tuple[str, ...], seed: int, stats: GridStats | None
) -> tuple[go.Figure, Shown, int]:
    """The cells of a grid, one layer by column plane after another; what they show; the planes.

    Every plane has the same number of traces.
    """
    wanted, got = (" x ".join(names) for names in (axes, grid.axes))
    expect(grid.axes == axes, f"a grid of {wanted}", got, "use grid_figure")
    what, figure = summarise(grid, seed, stats), go.Figure()
    texts = hovers(grid, what)
    planes = range(texts.shape[2]) if texts.ndim == 3 else [...]
    for at in planes:
        _add_cells(figure, what, texts, at)
    return figure, what, len(planes)


def _add_cells(figure: go.Figure, what: Shown, texts: np.ndarray, at: Any) -> None:
    """Heat, dots and hatching of the cells `[..., at]`, with hover."""
    where = at if at is ... else (..., at)
    value, q, defined = (p[where] for p in (what.value, what.stats.q, what.stats.defined))
    rows, columns = value.shape
    cells = {"x": list(range(columns)), "y": list(range(rows)), "xgap": 2, "hoverongaps": False}
    cells["hovertemplate"] = HOVER
    heat = {"z": _nested(value), "text": np.where(defined.numpy(), texts[where], "").tolist()}
    figure.add_heatmap(coloraxis="coloraxis", name="patched", **heat, **cells)
    _add_marks(figure, q > SIGNIFICANT, f"q > {SIGNIFICANT}", size=3, color=_DOT)
    if bool(what.stats.defined.all()):
        return
    veil = {"z": _nested(torch.where(defined, torch.nan, 0.0))}
    veil["text"] = np.where(defined.numpy(), "", texts[where]).tolist()
    flat = {"colorscale": [[0, _VEIL], [1, _VEIL]], "showscale": False, "autocolorscale": False}
    figure.add_heatmap(name="undefined", **veil, **flat, **cells)
    line = {"width": 1, "color": _HATCH}
    _add_marks(figure, ~defined, "hatching", symbol="line-ne", size=9, line=line)


def finish_grid(
    figure: go.Figure,
    grid: PatchGrid,
    what: Shown,
    at_least: float,
    x: Mapping[str, Any],
    subtitle: str = "",
    below: int = 0,
    **layout: Any,
) -> go.Figure:
    """Title, colour range (symmetric, at least so wide), axes and numbers of a grid's heatmap.

    `below` is room (px) under the plot.
    """
    limit = _limit(what, at_least)
    return _heated(
        figure,
        grid.values.shape[0],
        what.title,
        f"{what.about}; {marks(what)}{subtitle}",
        what.name,
        (-limit, limit),
        table_rows(grid, what),
        x,
        below,
        **layout,
    )


def head_axis(grid: PatchGrid) -> dict[str, Any]:
    """The axis of heads; at most 16 ticks, without the room that markers would add."""
    heads = grid.values.shape[1]
    step = next(s for s in (1, 2, 4, 8, 16, 32, 64, heads) if heads <= 16 * s)
    return {
        "title_text": "head patched",
        "tick0": 0,
        "dtick": step,
        "tickangle": 0,
        "range": [-0.5, heads - 0.5],
    }


def selection_heatmap(
    necessity: Float[Tensor, "layer span"], spans: Sequence[str], chosen: tuple[int, str]
) -> go.Figure:
    """Selection score of every (layer, span) site, the chosen site outlined.

    The score's unit is the caller's (a share of the behaviour lost when the site is edited);
    scores that are not finite are blank.

    Raises:
        ValueError: the spans do not match the table, or `chosen` is not in it.
    """
    got = f"{tuple(necessity.shape)} and {len(spans)} spans"
    fits = necessity.ndim == 2 and necessity.shape[1] == len(spans)
    expect(fits, "necessity [layer, span]", got, "name every column")
    layer, span = chosen
    known = span in spans and 0 <= layer < necessity.shape[0]
    expect(known, "a chosen site of the table", chosen, "pass (layer, span)")
    scores = necessity.to(torch.float64)
    rows = [
        {"layer": i, "span": name, "score": score, "chosen": (i, name) == (layer, span)}
        for i, line in enumerate(scores.tolist())
        for name, score in zip(spans, line, strict=True)
    ]
    texts = [_score_hover(row["layer"], row["span"], row["score"], row["chosen"]) for row in rows]
    finite = scores[scores.isfinite()]
    limit = max(float(finite.abs().max()), 1e-6) if len(finite) else 1.0
    foot = -limit if len(finite) and float(finite.min()) < -0.05 * limit else 0.0
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(spans))),
            y=list(range(len(scores))),
            z=_nested(scores),
            text=[texts[i : i + len(spans)] for i in range(0, len(texts), len(spans))],
            hovertemplate=HOVER,
            coloraxis="coloraxis",
            xgap=2,
            name="score",
        )
    )
    column = list(spans).index(span)
    box = {"x0": column - 0.5, "x1": column + 0.5, "y0": layer - 0.5, "y1": layer + 0.5}
    figure.add_shape(type="rect", **box, line={"color": VERMILION, "width": 3})
    return _heated(
        figure,
        len(scores),
        "Selection score by site",
        f"outlined: the chosen site, layer {layer} at {escape(span)}",
        "selection score",
        (foot, limit),
        rows,
        {
            "title_text": "token span",
            "tickvals": list(range(len(spans))),
            "ticktext": [escape(str(name)) for name in spans],
            "tickangle": 0,
        },
    )


def _score_hover(layer: int, span: str, score: float, chosen: bool) -> str:
    value = f"{score:.3f}" if math.isfinite(score) else "not measured"
    mark = "<br><b>chosen site</b>" if chosen else ""
    return f"layer {layer}, span {escape(str(span))}<br>score {value}{mark}"


def _add_marks(figure: go.Figure, at: Tensor, name: str, **marker: object) -> None:
    """A mark on every cell that is True; it has no hover of its own."""
    rows, columns = (part.tolist() for part in at.nonzero(as_tuple=True))
    figure.add_scatter(**{**UNSEEN, "mode": "markers"}, x=columns, y=rows, marker=marker, name=name)


def _heated(
    figure: go.Figure,
    layers: int,
    title: str,
    about: str,
    bar: str,
    ends: tuple[float, float],
    rows: Sequence[Mapping[str, Any]],
    x: Mapping[str, Any],
    below: int = 0,
    **layout: Any,
) -> go.Figure:
    """What all heatmaps share: height by layers, a bar above, one tick every few layers."""
    step = 1 if layers <= 8 else 2 if layers <= 16 else 5
    return finish(
        figure,
        title,
        about,
        min(760, max(350, 205 + 13 * layers)) + below,
        rows,
        half=True,
        drop=44,  # plotly lifts the title by some 19 px where a colour bar lies above the plot
        x={"showgrid": False, **x},
        y={
            "title_text": "layer",
            "dtick": step,
            "tick0": 0,
            "range": [-0.5, layers - 0.5],
            "showgrid": False,
        },
        margin={"t": 122, **({"b": 60 + below} if below else {})},
        coloraxis={"cmin": ends[0], "cmax": ends[1], **colour_bar(bar, nticks=5)},
        **layout,
    )


def _limit(what: Shown, at_least: float) -> float:
    """Half-width of the colours' range; recoveries end at 1.5 so that one cell cannot wash out."""
    finite = what.value[what.value.isfinite()]
    largest = float(finite.abs().max()) if len(finite) else 0.0
    return min(1.5, max(at_least, largest)) if what.scaled else max(largest, 1e-6)


def _nested(values: Tensor) -> list[list[float | None]]:
    return [[v if math.isfinite(v) else None for v in row] for row in values.tolist()]
