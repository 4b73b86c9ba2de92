"""Layer by column heatmaps: what all of them share, and the scores of sites."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from viz.data import to_plain
from viz.figures.marks import HOVER, colour_bar, finish
from viz.text import escape
from viz.theme import VERMILION


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
            z=to_plain(scores.tolist()),
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
    return finish_heatmap(
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


def finish_heatmap(
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
