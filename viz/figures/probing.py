"""Probe accuracy over layers, beside the shuffled-label control."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from probes.evaluation import ProbeReport
from viz.data import with_data
from viz.text import escaped, interval_text
from viz.theme import COLOURWAY, GREY, faded, titled

_HOVER = "%{text}<extra></extra>"


def probe_curves(reports: Mapping[str, ProbeReport], layers: Sequence[int]) -> go.Figure:
    """Held-out accuracy (%) by layer: a line per span, its 95 % Wilson band, and the control.

    The grey dashed line is the accuracy of probes fitted on shuffled labels, averaged over the
    spans; the grey area reaches to the highest of the spans' 95th percentiles. Hover gives each
    span's own control.

    Raises:
        ValueError: no report, or one whose sites are not `layers`.
    """
    if not reports:
        raise ValueError("expected at least one probe report, got none; pass one per span")
    for span, report in reports.items():
        if len(report.accuracy) != len(layers):
            got = f"{len(report.accuracy)} sites for {span!r}"
            raise ValueError(f"expected {len(layers)} layers, got {got}; pass the probed layers")
    x = list(layers)
    figure = go.Figure()
    null = torch.stack([r.null_accuracy for r in reports.values()]).to(torch.float64).mean(0)
    top = torch.stack([r.null_high for r in reports.values()]).to(torch.float64).amax(0)
    _band(figure, x, null, top, GREY, "control")
    figure.add_scatter(
        x=x,
        y=_percent(null),
        name="shuffled labels: mean to 95th percentile",
        legendgroup="control",
        legendrank=2000,  # drawn first, so that it lies below; listed last
        mode="lines",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        text=[
            f"layer {layer}<br>shuffled labels: mean {a:.1%}, 95th percentile {b:.1%}"
            for layer, a, b in zip(x, null.tolist(), top.tolist(), strict=True)
        ],
        hovertemplate=_HOVER,
    )
    rows: list[list[Any]] = []
    for index, (span, report) in enumerate(reports.items()):
        shade = COLOURWAY[index % len(COLOURWAY)]
        _band(figure, x, report.accuracy_low, report.accuracy_high, shade, span)
        fields = (
            report.accuracy,
            report.accuracy_low,
            report.accuracy_high,
            report.auroc,
            report.null_accuracy,
            report.null_high,
        )
        values = [[float(v) for v in site] for site in zip(*fields, strict=True)]
        rows += [[span, layer, *v, report.n_test] for layer, v in zip(x, values, strict=True)]
        figure.add_scatter(
            x=x,
            y=_percent(report.accuracy),
            name=escaped(span),
            legendgroup=span,
            mode="lines+markers",
            line={"color": shade, "width": 2},
            marker={"size": 4.5},
            text=[
                _probe_hover(span, layer, v, report.n_test)
                for layer, v in zip(x, values, strict=True)
            ],
            hovertemplate=_HOVER,
        )
    first = next(iter(reports.values()))
    floor = min(float(r.accuracy_low.nan_to_num(1).min()) for r in reports.values())
    floor = min(floor, float(null.nan_to_num(1).min()))
    figure.update_layout(
        titled(
            "Probe accuracy by layer",
            f"{escaped(first.estimator)}, held out (n = {first.n_test}); bands: 95% Wilson",
            height=440,
        )
    )
    figure.update_xaxes(title_text="layer", dtick=5 if len(x) > 12 else 1, tick0=0)
    figure.update_yaxes(
        title_text="held-out accuracy (%)", range=[max(0, min(40, 100 * floor - 4)), 102]
    )
    header = [
        "span",
        "layer",
        "accuracy",
        "low",
        "high",
        "auroc",
        "null_mean",
        "null_p95",
        "n_test",
    ]
    return with_data(figure, header, rows)


def _band(
    figure: go.Figure, x: list[int], low: Tensor, high: Tensor, shade: str, group: str
) -> None:
    """The area between two curves (%), without hover or legend entry of its own."""
    common = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=x, y=_percent(low), legendgroup=group, **common)
    figure.add_scatter(
        x=x,
        y=_percent(high),
        legendgroup=group,
        fill="tonexty",
        fillcolor=faded(shade, 0.16),
        **common,
    )


def _probe_hover(span: str, layer: int, values: Sequence[float], n: int) -> str:
    accuracy, low, high, area, null, null_high = values
    return (
        f"<b>{escaped(span)}</b> · layer {layer}<br>"
        f"accuracy {interval_text(100 * accuracy, 100 * low, 100 * high, 1, '%')}<br>"
        f"AUROC {area:.3f} · n = {n}<br>shuffled labels {null:.1%}, 95th percentile {null_high:.1%}"
    )


def _percent(share: Tensor) -> list[float | None]:
    return [100 * v if math.isfinite(v) else None for v in share.tolist()]
