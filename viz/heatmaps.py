"""Layer by column heatmaps: patching recovery, and the scores that chose a site."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import PatchGrid
from probes.stats import benjamini_hochberg, recovery_intervals, sign_flip_p
from viz.data import with_data
from viz.text import escaped, interval_text, shortened, spaced, token_label
from viz.theme import VERMILION, titled

_SIGNIFICANT = 0.05
_WORDS = {
    "denoising": ("Denoising: triggered activation patched into the clean run", "clean"),
    "noising": ("Noising: clean activation patched into the triggered run", "triggered"),
}


def patching_heatmap(grid: PatchGrid, seed: int = 0) -> go.Figure:
    """Mean normalised recovery of every (layer, token) cell; layer 0 at the bottom.

    Unitless: 0 leaves the run patched into as it was, 1 is the whole effect of patching
    everything. Hover gives the 95 % paired bootstrap interval, the q value (sign flips,
    Benjamini-Hochberg over the cells) and n. Cells with q > 0.05 carry a dot; cells with a value
    that is not finite are left blank. Draw the two directions as two figures.

    Raises:
        ValueError: fewer than 2 examples, a label missing, or a full effect whose interval
            reaches 0, so that there is no scale to normalise by.
    """
    layers, columns, n = grid.values.shape
    if len(grid.labels) != columns:
        raise ValueError(f"expected {columns} labels, got {len(grid.labels)}; name every column")
    value, low, high, q = _cells(grid, seed)
    title, into = _WORDS[grid.direction]
    hover, rows = [], []
    for layer in range(layers):
        line = []
        for column, label in enumerate(grid.labels):
            cell = [float(part[layer, column]) for part in (value, low, high, q)]
            token = escaped(shortened(spaced(label), 60))
            q_text = "" if math.isnan(cell[3]) else f"<br>q {_q_text(cell[3])} · n = {n}"
            line.append(
                f"layer {layer}, token <b>{token}</b><br>"
                f"recovery {interval_text(cell[0], cell[1], cell[2])}{q_text}"
            )
            rows.append([grid.direction, layer, column, spaced(label), *cell, n])
        hover.append(line)
    limit = _limit(value)
    figure = go.Figure(
        go.Heatmap(
            x=list(range(columns)),
            y=list(range(layers)),
            z=_nested(value),
            text=hover,
            hovertemplate="%{text}<extra></extra>",
            coloraxis="coloraxis",
            xgap=2,
            name="recovery",
        )
    )
    _add_dots(figure, q)
    measured = int((~q.isnan()).sum())
    subtitle = (
        f"{escaped(grid.metric)}, {escaped(grid.stream)}, n = {n} pairs; 0 = {into} run, "
        f"1 = full effect; dot: q > {_SIGNIFICANT} ({measured} cells)"
    )
    figure.update_layout(_heat_layout(layers, title, subtitle, "mean normalised recovery"))
    figure.update_layout(
        coloraxis={"cmin": -limit, "cmax": limit},
    )
    figure.update_xaxes(
        title_text="token patched",
        tickvals=list(range(columns)),
        ticktext=[token_label(label) for label in grid.labels],
        tickangle=-45 if any(len(spaced(label)) > 3 for label in grid.labels) else 0,
    )
    header = ["direction", "layer", "column", "token", "recovery", "low", "high", "q", "n"]
    return with_data(figure, header, rows, half=True)


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


def _cells(grid: PatchGrid, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Recovery, its interval and q per cell; NaN where an example of the cell is not finite."""
    effects = grid.effects.to(torch.float64)
    kept = effects.isfinite().all(dim=-1)
    blank = torch.full(kept.shape, torch.nan, dtype=torch.float64)
    value, low, high, p = (blank.clone() for _ in range(4))
    if bool(kept.any()):
        full = grid.full_effect.to(torch.float64)
        value[kept], low[kept], high[kept] = recovery_intervals(effects[kept], full, seed=seed)
        p[kept] = sign_flip_p(effects[kept], seed=seed)
    return value, low, high, benjamini_hochberg(p)


def _add_dots(figure: go.Figure, q: Tensor) -> None:
    """A dot on every cell with q > 0.05; it has no hover of its own."""
    rows, columns = (part.tolist() for part in (q > _SIGNIFICANT).nonzero(as_tuple=True))
    figure.add_scatter(
        x=columns,
        y=rows,
        mode="markers",
        marker={"size": 3, "color": "rgba(127,135,146,0.6)"},
        hoverinfo="skip",
        showlegend=False,
        name=f"q > {_SIGNIFICANT}",
    )


def _heat_layout(layers: int, title: str, subtitle: str, bar_title: str) -> dict:
    """What both heatmaps share: height by layers, a bar above, one tick every few layers."""
    step = 1 if layers <= 12 else 2 if layers <= 24 else 5
    return {
        # plotly lifts the title by some 19 px where a colour bar lies above the plot.
        **titled(title, subtitle, min(760, max(330, 175 + 13 * layers)), drop=44),
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


def _limit(value: Tensor) -> float:
    """Half-width of the colour range: at least 1, at most 1.5 so that one cell cannot wash out."""
    finite = value[value.isfinite()]
    return min(1.5, max(1.0, float(finite.abs().max()) if len(finite) else 1.0))


def _nested(values: Tensor) -> list[list[float | None]]:
    return [[v if math.isfinite(v) else None for v in row] for row in values.tolist()]


def _q_text(q: float) -> str:
    return "< 0.001" if q < 0.001 else f"= {q:.3f}"
