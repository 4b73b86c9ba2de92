"""Behaviour against the dose along a direction: means, bands, logistic fits, thresholds."""

import math
from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.causal.transfer import LogisticFit
from probes.stats.intervals import interval_text
from probes.stats.means import mean_bounds
from viz.figures.marks import DOTTED, UNSEEN, curve, diamond, finish, source
from viz.text import escape
from viz.theme import CONDITION_COLOURS, colour

_FINE = 241  # points along a fitted curve
_COLUMNS = ("condition", "dose", "mean", "low", "high", "fitted", "n")
# A rising curve leaves room above the clean mean and below the triggered one.
_MEANS = ((0.0, "clean mean", "top"), (1.0, "triggered mean", "bottom"))


def transfer_curves(
    coefficients: Float[Tensor, " c"],
    curves: Mapping[str, Float[Tensor, "c n"]],
    fits: Mapping[str, LogisticFit | None] | None = None,
    y_title: str = "P(behaviour token)",
    colours: Mapping[str, str] = CONDITION_COLOURS,
    title: str = "Behaviour by dose along the gate",
) -> go.Figure:
    """Mean of a metric by dose, a line and 95 % band per condition, fits dotted.

    A diamond marks each fit's threshold, its whiskers the threshold's interval; a condition without
    a fit has none. Grey lines mark the clean (0) and the triggered (1) mean. `y_title` names the
    metric and its unit.

    Raises:
        ValueError: no condition, or values of another number of doses.
    """
    expect(curves, "at least one condition", "none", "pass condition -> values")
    figure, rows, x = go.Figure(), [], coefficients.tolist()
    for index, (condition, values) in enumerate(curves.items()):
        got = f"{len(values)} for {condition!r}"
        expect(len(values) == len(x), f"{len(x)} doses", got, "pass one row each")
        shade, n = colour(condition, colours, index), values.shape[1]
        mean = values.double().mean(dim=1).tolist()
        low, high = (bound.tolist() for bound in mean_bounds(values))
        texts = [
            f"<b>{escape(condition)}</b> · dose {dose:.2f}<br>"
            f"{interval_text(m, a, b, '.3f')}<br>n = {n}"
            for dose, m, a, b in zip(x, mean, low, high, strict=True)
        ]
        group = {"legendgroup": condition}
        curve(figure, x, (mean, low, high), escape(condition), shade, texts, where=group)
        fit = (fits or {}).get(condition)
        if fit is not None:
            _fit(figure, condition, shade, coefficients, fit)
        fitted = [math.nan] * len(x) if fit is None else fit.curve(coefficients).tolist()
        rows += [
            dict(zip(_COLUMNS, (condition, *numbers, n), strict=True))
            for numbers in zip(x, mean, low, high, fitted, strict=True)
        ]
    for dose, name, place in _MEANS:
        if min(x) <= dose <= max(x):
            words = {"text": name, "textangle": -90, "font": {"size": 11}}
            side = {"xanchor": "right", "yanchor": place, "y": float(place == "top")}
            figure.add_vline(x=dose, line=DOTTED, annotation={**words, **side})
    n = next(iter(curves.values())).shape[1]
    return finish(
        figure,
        title,
        f"mean of {n} prompts with 95% band"
        + ("; dotted: logistic fit; diamond: threshold with interval" if fits else ""),
        430,
        rows,
        x={"title_text": "dose (0 = clean mean, 1 = triggered mean)", "dtick": 0.5},
        y={"title_text": escape(y_title), **({"rangemode": "tozero"} if fits else {})},
    )


def _fit(
    figure: go.Figure, condition: str, shade: str, doses: Float[Tensor, " c"], fit: LogisticFit
) -> None:
    """The fitted curve, dotted, and its threshold with interval."""
    fine = torch.linspace(float(doses.min()), float(doses.max()), _FINE)
    group = {"legendgroup": condition}
    figure.add_scatter(
        **UNSEEN,
        **group,
        x=fine.tolist(),
        y=fit.curve(fine).tolist(),
        line={"color": shade, "width": 1.5, "dash": "dot"},
        name=f"fit, {escape(condition)}",
    )
    bound = "" if fit.is_resolved else f"<br>not resolved: doses are {fit.spacing:.2g} apart"
    text = (
        f"<b>{escape(condition)}</b>, threshold {fit.threshold:.2f}<br>"
        f"10% to 90% within {fit.width:.2f}{bound}<br>"
        f"R² logistic {fit.r2_logistic:.3f}, straight line {fit.r2_linear:.3f}<br>"
        f"{source(fit.threshold)}"
    )
    half, name = fit.lower.value + fit.rise.value / 2, f"threshold, {escape(condition)}"
    look = {"bar": {"color": shade}, "showlegend": False, **group}
    diamond(figure, fit.threshold, half, text, name, shade, **look)
