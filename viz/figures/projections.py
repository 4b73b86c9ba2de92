"""Projections of prompts on a direction, condition by condition."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from probes.stats.intervals import mean_interval
from viz.data import with_data
from viz.text import escaped, interval_text, prompt_hover, wrapped
from viz.theme import CONDITION_COLOURS, colour, faded, titled

_HOVER = "%{text}<extra></extra>"


def projection_strips(
    values: Mapping[str, Float[Tensor, " n"]],
    threshold: float | None = None,
    unit: str = "residual units",
    texts: Mapping[str, Sequence[str]] | None = None,
) -> go.Figure:
    """Projections on a direction, a strip of points, a box and a mean with interval per condition.

    The points' vertical spread is a fixed pattern and means nothing. Hover on a point gives its
    value and, from `texts`, its prompt; on the diamond the mean's 95 % bootstrap interval.
    Values that are not finite are left out, and counted in the row's label.

    Raises:
        ValueError: no condition, or texts of another length than the values.
    """
    if not values:
        raise ValueError("expected at least one condition, got none; pass condition -> values")
    figure, rows, labels = go.Figure(), [], []
    for index, (condition, tensor) in enumerate(values.items()):
        prompts = list(texts[condition]) if texts and condition in texts else None
        if prompts is not None and len(prompts) != len(tensor):
            got = f"{len(prompts)} texts for {len(tensor)} values of {condition!r}"
            raise ValueError(f"expected one text per value, got {got}; pair them")
        row = len(values) - 1 - index  # the first condition on top
        shade = colour(condition, CONDITION_COLOURS, index)
        points = [(i, v) for i, v in enumerate(tensor.tolist()) if math.isfinite(v)]
        dropped = len(tensor) - len(points)
        count = f"n = {len(points)}" + (f", {dropped} not finite" if dropped else "")
        labels.append((row, f"{wrapped(condition, 14)}<br><i>{count}</i>"))
        rows += [
            [condition, i, v, prompts[i] if prompts else ""] for i, v in enumerate(tensor.tolist())
        ]
        _strip(figure, condition, row, shade, points, prompts, unit)
    if threshold is not None:
        figure.add_vline(
            x=threshold,
            line={"width": 1.5, "dash": "dash"},
            annotation={"text": f"threshold {threshold:.2f}", "yanchor": "bottom", "y": 1},
        )
    figure.update_layout(
        titled(
            "Projection on the gate direction",
            "point: one prompt; box: quartiles; diamond: mean with 95% interval",
            height=160 + 78 * len(values),
        ),
        showlegend=False,
    )
    figure.update_xaxes(title_text=f"projection ({escaped(unit)})")
    figure.update_yaxes(
        tickvals=[row for row, _ in labels],
        ticktext=[text for _, text in labels],
        range=[-0.6, len(values) - 0.4],
        showgrid=False,
        showline=False,
        ticks="",
    )
    return with_data(figure, ["condition", "index", "projection", "prompt"], rows)


def _strip(
    figure: go.Figure,
    condition: str,
    row: int,
    shade: str,
    points: Sequence[tuple[int, float]],
    prompts: Sequence[str] | None,
    unit: str,
) -> None:
    """One condition's box, points and mean; the golden ratio spreads the points evenly."""
    xs = [v for _, v in points]
    name = escaped(condition)
    if not xs:
        return
    figure.add_box(
        x=xs,
        y=[row] * len(xs),
        orientation="h",
        boxpoints=False,
        width=0.5,
        line={"color": shade, "width": 1.2},
        fillcolor=faded(shade, 0.1),
        hoverinfo="skip",
        name=name,
    )
    figure.add_scatter(
        x=xs,
        y=[row + 0.36 * ((i * 0.618034) % 1 - 0.5) for i, _ in points],
        mode="markers",
        marker={"color": faded(shade, 0.65), "size": 6},
        text=[
            f"<b>{name}</b> · {v:.3f} {escaped(unit)}"
            + (f"<br>{prompt_hover(prompts[i])}" if prompts else "")
            for i, v in points
        ],
        hovertemplate=_HOVER,
        name=name,
    )
    if len(xs) < 2:
        return  # one value has no interval
    mean = mean_interval(torch.tensor(xs, dtype=torch.float64))
    figure.add_scatter(
        x=[mean.value],
        y=[row + 0.36],
        error_x={
            "type": "data",
            "array": [mean.high - mean.value],
            "arrayminus": [mean.value - mean.low],
            "thickness": 2,
            "width": 4,
        },
        mode="markers",
        marker={"color": shade, "size": 9, "symbol": "diamond"},
        text=[
            f"<b>{name}</b>, mean {interval_text(mean.value, mean.low, mean.high)}<br>"
            f"n = {mean.n} · {mean.level:.0%} {mean.method}"
        ],
        hovertemplate=_HOVER,
        name=name,
    )
