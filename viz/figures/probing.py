"""Probe accuracy over layers, beside the shuffled-label control."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from circuits.errors import expect
from probes.evaluation import ProbeReport
from probes.stats.intervals import interval_text
from viz.figures.marks import HOVER, band, curve, finish
from viz.text import escape
from viz.theme import COLOURWAY, GREY

_ACCURACY = ("accuracy", "low", "high", "auroc")
_COLUMNS = ("span", "layer", *_ACCURACY, "null_mean", "null_p95", "n_test")


def probe_curves(reports: Mapping[str, ProbeReport], layers: Sequence[int]) -> go.Figure:
    """Held-out accuracy (%) by layer: a line per span, its 95 % Wilson band, and the control.

    The grey dashed line is the accuracy of probes fitted on shuffled labels, averaged over the
    spans; the grey area reaches to the highest of the spans' 95th percentiles. Hover gives each
    span's own control.

    Raises:
        ValueError: no report, or one whose sites are not `layers`.
    """
    expect(reports, "at least one probe report", "none", "pass one per span")
    for span, report in reports.items():
        got = f"{(sites := len(report.accuracy))} sites for {span!r}"
        expect(sites == len(layers), f"{len(layers)} layers", got, "pass the probed layers")
    x, figure, rows = list(layers), go.Figure(), []
    null = torch.stack([r.null_accuracy for r in reports.values()]).to(torch.float64).mean(0)
    top = torch.stack([r.null_high for r in reports.values()]).to(torch.float64).amax(0)
    _control(figure, x, null, top)
    for index, (span, report) in enumerate(reports.items()):
        shade = COLOURWAY[index % len(COLOURWAY)]
        interval = (report.accuracy, report.accuracy_low, report.accuracy_high)
        sites = (*interval, report.auroc, report.null_accuracy, report.null_high)
        values = [[float(v) for v in site] for site in zip(*sites, strict=True)]
        texts = [_hover(span, at, v, report.n_test) for at, v in zip(x, values, strict=True)]
        shown = tuple(_percent(part) for part in interval)
        group = {"legendgroup": span}
        curve(figure, x, shown, escape(span), shade, texts, marker={"size": 4.5}, where=group)
        rows += [
            dict(zip(_COLUMNS, (span, at, *numbers, report.n_test), strict=True))
            for at, numbers in zip(x, values, strict=True)
        ]
    first = next(iter(reports.values()))
    lows = [null, *(report.accuracy_low for report in reports.values())]
    floor = min(float(low.nan_to_num(1).min()) for low in lows)
    return finish(
        figure,
        "Probe accuracy by layer",
        f"{escape(first.estimator)}, held out (n = {first.n_test}); bands: 95% Wilson",
        440,
        rows,
        x={"title_text": "layer", "dtick": 5 if len(x) > 12 else 1, "tick0": 0},
        y={"title_text": "held-out accuracy (%)", "range": [max(0, min(40, 100 * floor - 4)), 102]},
    )


def _control(figure: go.Figure, x: list[int], null: Tensor, top: Tensor) -> None:
    """What shuffled labels give, from the mean to the 95th percentile."""
    band(figure, x, _percent(null), _percent(top), GREY, legendgroup="control")
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
        hovertemplate=HOVER,
    )


def _hover(span: str, layer: int, values: Sequence[float], n: int) -> str:
    value, low, high, area, null, null_high = values
    accuracy = (
        interval_text(value, low, high, ".1%p") if math.isfinite(values[0]) else "not measured"
    )
    return (
        f"<b>{escape(span)}</b> · layer {layer}<br>accuracy {accuracy}<br>"
        f"AUROC {area:.3f} · n = {n}<br>shuffled labels {null:.1%}, 95th percentile {null_high:.1%}"
    )


def _percent(share: Tensor) -> list[float | None]:
    return [100 * v if math.isfinite(v) else None for v in share.tolist()]
