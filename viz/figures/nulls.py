"""A gate's effect beside random directions."""

import math

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.intervals import Estimate
from viz.figures.marks import HOVER, UNSEEN, bounds, diamond, finish
from viz.text import escape
from viz.theme import GREY, PURPLE, fade

_NARROWEST = 80  # bins across the axis at most


def null_histogram(
    null_values: Float[Tensor, " m"],
    observed: Estimate,
    title: str = "Effect of the gate beside random directions",
    x_title: str = "effect",
) -> go.Figure:
    """Counts of random directions by effect, and the gate's effect with its interval above.

    `x_title` names the effect and its unit. The subtitle counts the random directions whose
    effect is at least as far from 0 as the gate's.

    Raises:
        ValueError: no finite null value.
    """
    kept = null_values[null_values.isfinite()].to(torch.float64)
    expect(len(kept), "finite null values", "none", "pass random-direction effects")
    low, width, bins = _bins(kept, observed)
    counts = [int(c) for c in torch.histc(kept, bins, low, low + bins * width).tolist()]
    reach = int((kept.abs() >= abs(observed.value)).sum())
    top = max(counts)
    figure = go.Figure(
        go.Bar(
            x=[low + (i + 0.5) * width for i in range(bins)],
            y=counts,
            width=[width] * bins,
            marker={"color": fade(GREY, 0.75), "line": {"width": 0}},
            name="random directions",
            text=[
                f"{count} of {len(kept)} random directions<br>"
                f"effect {low + i * width:.3g} to {low + (i + 1) * width:.3g}"
                for i, count in enumerate(counts)
            ],
            textposition="none",
            hovertemplate=HOVER,
        )
    )
    stem = {"x": [observed.value, observed.value], "y": [0, 1.12 * top]}
    figure.add_scatter(**UNSEEN, **stem, line={"color": PURPLE, "width": 2})
    method = escape(observed.method or "interval")
    text = f"<b>gate</b>: {observed:.3f}<br>n = {observed.n} · {method}"
    diamond(figure, observed, 1.12 * top, text, f"gate, {observed.level:.0%} interval", PURPLE)
    left, right = min(low, observed.low, 0.0), max(low + bins * width, observed.high, 0.0)
    pad = 0.05 * (right - left)
    return finish(
        figure,
        escape(title),
        f"{reach} of {len(kept)} random directions reach as far from 0",
        390,
        [
            *(
                {"kind": "random direction", **bounds(None, "effect"), "effect": value}
                for value in kept.tolist()
            ),
            {"kind": "gate", **bounds(observed, "effect")},
        ],
        half=True,
        x={"title_text": escape(x_title), "range": [left - pad, right + pad]},
        y={"title_text": "random directions (count)", "range": [0, 1.25 * top]},
        bargap=0,
    )


def _bins(kept: Float[Tensor, " m"], observed: Estimate) -> tuple[float, float, int]:
    """The first bin's left end, the bins' width and number."""
    bins = min(24, max(6, round(1.3 * len(kept) ** 0.5)))
    low, high = float(kept.min()), float(kept.max())
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    # Beside a large effect, bins of the nulls' own range would be too narrow to be seen.
    span = max(high, observed.high, 0.0) - min(low, observed.low, 0.0)
    width = max((high - low) / bins, span / _NARROWEST)
    bins = max(1, math.ceil((high - low) / width - 1e-9))
    return (low + high - bins * width) / 2, width, bins
