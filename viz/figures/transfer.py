"""Behaviour against the dose along a direction: means, bands, logistic fits, thresholds."""

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from probes.causal.transfer import LogisticFit
from probes.stats.intervals import bootstrap_means
from viz.data import with_data
from viz.text import escaped, interval_text
from viz.theme import CONDITION_COLOURS, GREY, colour, faded, titled

_HOVER = "%{text}<extra></extra>"
_FINE = 241  # points along a fitted curve


def transfer_curves(
    coefficients: Float[Tensor, " c"],
    curves: Mapping[str, Float[Tensor, "c n"]],
    fits: Mapping[str, LogisticFit | None] | None = None,
    y_title: str = "P(behaviour token)",
    colours: Mapping[str, str] = CONDITION_COLOURS,
) -> go.Figure:
    """Mean of a metric by dose, a line and 95 % bootstrap band per condition, fits dotted.

    A diamond marks each fit's threshold, its whiskers the threshold's interval; a condition without
    a fit has none. Grey lines mark the clean (0) and the triggered (1) mean. `y_title` names the
    metric and its unit.

    Raises:
        ValueError: no condition, or values of another number of doses.
    """
    if not curves:
        raise ValueError("expected at least one condition, got none; pass condition -> values")
    figure, rows = go.Figure(), []
    for index, (condition, values) in enumerate(curves.items()):
        if len(values) != len(coefficients):
            got = f"{len(values)} for {condition!r}"
            raise ValueError(f"expected {len(coefficients)} doses, got {got}; pass one row each")
        shade = colour(condition, colours, index)
        fit = (fits or {}).get(condition)
        rows += _curve(figure, condition, shade, coefficients, values, fit)
        if fit is not None:
            _fit(figure, condition, shade, coefficients, fit)
    # A rising curve leaves room above the clean mean and below the triggered one.
    for dose, name, place in ((0.0, "clean mean", "top"), (1.0, "triggered mean", "bottom")):
        if float(coefficients.min()) <= dose <= float(coefficients.max()):
            figure.add_vline(
                x=dose,
                line={"width": 1, "dash": "dot", "color": GREY},
                annotation={
                    "text": name,
                    "textangle": -90,
                    "font": {"size": 11},
                    "xanchor": "right",
                    "yanchor": place,
                    "y": float(place == "top"),
                },
            )
    n = next(iter(curves.values())).shape[1]
    figure.update_layout(
        titled(
            "Behaviour by dose along the gate",
            f"mean of {n} prompts with 95% bootstrap band; dotted: logistic fit; diamond: "
            "threshold with interval",
            height=430,
        )
    )
    figure.update_xaxes(title_text="dose (0 = clean mean, 1 = triggered mean)", dtick=0.5)
    figure.update_yaxes(title_text=escaped(y_title), rangemode="tozero")
    header = ["condition", "dose", "mean", "low", "high", "fitted", "n"]
    return with_data(figure, header, rows)


def _curve(
    figure: go.Figure,
    condition: str,
    shade: str,
    doses: Float[Tensor, " c"],
    values: Float[Tensor, "c n"],
    fit: LogisticFit | None,
) -> list[list[Any]]:
    """One condition's band and line; returns its rows of numbers."""
    x, n = doses.tolist(), values.shape[1]
    mean = values.double().mean(dim=1).tolist()
    low, high = ([*b.tolist()] for b in bootstrap_means(values))
    fitted = [math.nan] * len(x) if fit is None else fit.curve(doses).tolist()
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=x, y=low, legendgroup=condition, **band)
    figure.add_scatter(
        x=x, y=high, legendgroup=condition, fill="tonexty", fillcolor=faded(shade, 0.16), **band
    )
    figure.add_scatter(
        x=x,
        y=mean,
        name=escaped(condition),
        legendgroup=condition,
        mode="lines+markers",
        line={"color": shade, "width": 2},
        marker={"size": 5},
        text=[
            f"<b>{escaped(condition)}</b> · dose {dose:.2f}<br>"
            f"{interval_text(m, a, b, 3)}<br>n = {n}"
            for dose, m, a, b in zip(x, mean, low, high, strict=True)
        ],
        hovertemplate=_HOVER,
    )
    return [[condition, *numbers, n] for numbers in zip(x, mean, low, high, fitted, strict=True)]


def _fit(
    figure: go.Figure, condition: str, shade: str, doses: Float[Tensor, " c"], fit: LogisticFit
) -> None:
    """The fitted curve, dotted, and its threshold with interval."""
    fine = torch.linspace(float(doses.min()), float(doses.max()), _FINE)
    common = {"legendgroup": condition, "showlegend": False}
    figure.add_scatter(
        x=fine.tolist(),
        y=fit.curve(fine).tolist(),
        mode="lines",
        line={"color": shade, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        name=f"fit, {escaped(condition)}",
        **common,
    )
    at = fit.threshold
    width = fit.width
    bound = "" if fit.is_resolved else f"<br>not resolved: doses are {fit.spacing:.2g} apart"
    figure.add_scatter(
        x=[at.value],
        y=[fit.lower.value + fit.rise.value / 2],
        error_x={
            "type": "data",
            "array": [at.high - at.value],
            "arrayminus": [at.value - at.low],
            "thickness": 2,
            "width": 5,
            "color": shade,
        },
        mode="markers",
        marker={"color": shade, "size": 10, "symbol": "diamond"},
        text=[
            f"<b>{escaped(condition)}</b>, threshold "
            f"{interval_text(at.value, at.low, at.high)}<br>"
            f"10% to 90% within {interval_text(width.value, width.low, width.high)}{bound}<br>"
            f"R² logistic {fit.r2_logistic:.3f}, straight line {fit.r2_linear:.3f}<br>"
            f"n = {at.n} · {at.level:.0%} {escaped(at.method)}"
        ],
        hovertemplate=_HOVER,
        name=f"threshold, {escaped(condition)}",
        **common,
    )
