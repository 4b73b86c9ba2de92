"""A gate's geometry: estimates by layer beside their nulls; the way from clean to triggered.

The strong line is the organism with its own trigger; the dotted ones are the nulls of
`probes.geometry.report`, through the same measurement. A thin grey line is the value at which
there would be nothing to see.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.geometry.crossings import Crossings
from probes.geometry.report import NAMES, GeometryReport
from probes.stats.intervals import Estimate, interval_text
from probes.stats.means import mean_bounds
from viz.figures.marks import UNSEEN, Look, curve, describe, diamond, ends, finish
from viz.text import escape, wrap
from viz.theme import BLUE, GREEN, GREY, OCHRE, VERMILION, fade

# Where there is nothing to see, and what that would mean.
_NOTHING = {
    "participation_ratio_relative": (1.0, "as clean ones"),
    "vendi_relative": (1.0, "as clean ones"),
    "neighbour_mixing": (0.5, "alike"),
    "mean_discrepancy": (0.0, "alike"),
    "intrinsic_dimension_relative": (1.0, "as clean ones"),
    "bits": (1.0, "nothing learned"),
    "compression": (1.0, "nothing learned"),
    "selectivity": (0.0, "as shuffled"),
    "margin_low": (0.0, "on the boundary"),
    "margin_median": (0.0, "on the boundary"),
    "interaction_gain": (0.0, "no gain"),
}
_COUNTED = ("participation_ratio", "vendi", "intrinsic_dimension", "compression")
_LOGARITHMIC = 5.0  # counts and ratios that differ by more are drawn on a log scale
_OWN = Look(VERMILION, "circle", "own trigger")
_NULLS = {
    "untrained_trigger": Look(GREEN, "square", "untrained trigger"),
    "clean_model": Look(BLUE, "diamond", "clean model"),
    "random_direction": Look(OCHRE, "x", "random direction"),
}
_TICKS = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]


def geometry_by_layer(report: GeometryReport, name: str) -> go.Figure:
    """One estimate by layer with its interval band, the nulls beside it.

    Counts and ratios that differ more than fivefold are on a logarithmic scale. An interval that is
    far wider than the others runs out of the frame: hover and numbers have it.

    Args:
        report: of one organism; at least two layers.
        name: of `probes.geometry.report.NAMES`.

    Raises:
        UserError: a name that was not measured, or fewer than two layers.
    """
    layers = report.layers
    expect(len(layers) >= 2, "at least 2", len(layers), "show them in a table", "layers")
    own = tuple(report.at(name, layer) for layer in layers)
    nulls = [(null, part) for null, part in report.nulls.items() if name in part.values]
    curves = [
        (
            _NULLS.get(null, Look.of(i, null.replace("_", " "), ("cross",))),
            part.values[name],
            part.p.get(name),
        )
        for i, (null, part) in enumerate(nulls)
    ]
    curves.append((_OWN, own, report.organism.p.get(name)))  # last, so that it lies on top
    frame = _Frame.of([e for _, estimates, _ in curves for e in estimates], name)
    figure, rows = go.Figure(), []
    if name in _NOTHING:
        _level(figure, layers, _NOTHING[name][0])
    for look, estimates, p in curves:
        _curve(figure, look, layers, estimates, p, frame)
        rows += [
            {
                "pairs": look.name,
                "layer": layer,
                "value": e.value,
                "low": e.low,
                "high": e.high,
                "p": None if p is None else p[i],
                "n": e.n,
                "method": e.method,
            }
            for i, (layer, e) in enumerate(zip(layers, estimates, strict=True))
        ]
    words = NAMES.get(name, name)
    nothing = f"; grey line: {_NOTHING[name][1]}" if name in _NOTHING else ""
    cut = "; an interval goes on beyond the frame" if frame.cuts else ""
    unit = f"{wrap(name.replace('_', ' '), 30)}{' (log)' if frame.log else ''}"
    step = 5 if layers[-1] - layers[0] > 12 else 1
    return finish(
        figure,
        escape(f"{words[:1].upper()}{words[1:]}, by layer"),
        f"bands: {own[0].level:.0%} intervals; dotted: nulls{nothing}{cut}",
        430,
        rows,
        half=True,
        x={"title_text": "layer", "dtick": step, "tick0": 0, "tickangle": 0},
        y={"title_text": unit, **frame.axis()},
    )


def crossing_curves(probabilities: Float[Tensor, "pairs steps"], crossings: Crossings) -> go.Figure:
    """P(behaviour) on the way from clean (0) to triggered (1): every pair faintly, and the mean.

    The band is the mean's 95 % interval over pairs. A diamond is the mean place of the
    first crossing of 1/2, with its interval; there is none where no pair crosses.

    Raises:
        UserError: crossings of another number of pairs or steps.
    """
    pairs, steps = probabilities.shape
    expect(
        crossings.count.n == pairs and math.isclose(crossings.spacing * (steps - 1), 1),
        "those of the probabilities",
        f"{pairs} pairs and {steps} steps",
        "pass both of one measurement",
        "crossings",
    )
    x = [i * crossings.spacing for i in range(steps)]
    each = probabilities.double().tolist()
    mean = probabilities.double().mean(0).tolist()
    # A mean of few pairs may be uncertain beyond what a probability can be.
    low, high = (bound.clamp(0, 1).tolist() for bound in mean_bounds(probabilities.T))
    figure = go.Figure()
    figure.add_scatter(
        **UNSEEN,  # its line would be too faint to be seen in the legend
        x=[place for _ in each for place in [*x, None]],
        y=[value for pair in each for value in [*pair, None]],
        line={"color": fade(GREY, max(0.15, min(0.6, 6 / pairs))), "width": 1},
    )
    _level(figure, x, 0.5)
    texts = [
        f"<b>mean</b> at {place:.2f}<br>P(behaviour) {interval_text(m, a, b, '.2f')}<br>"
        f"n = {pairs} pairs · 95% interval"
        for place, m, a, b in zip(x, mean, low, high, strict=True)
    ]
    curve(figure, x, (mean, low, high), "mean", VERMILION, texts, line={"width": 2.5})
    _first(figure, crossings)
    rows = [("mean", *numbers, pairs) for numbers in zip(x, mean, low, high, strict=True)]
    rows += [
        (i, place, value, None, None, 1)
        for i, pair in enumerate(each)
        for place, value in zip(x, pair, strict=True)
    ]
    header = ("pair", "part of the way", "probability", "low", "high", "n")
    way = "part of the way from clean to triggered"
    return finish(
        figure,
        "Behaviour from clean to triggered",
        f"{pairs} pairs, {crossings.single:.0%p} cross 1/2 just once; faint: each pair; "
        "band: 95% bootstrap",
        430,
        [dict(zip(header, row, strict=True)) for row in rows],
        half=True,
        x={"title_text": way, "range": [-0.02, 1.02], "dtick": 0.25},
        y={"title_text": "P(behaviour)", "range": [-0.03, 1.03], "dtick": 0.25},
        legend={"traceorder": "normal"},  # fills would reverse it
    )


@dataclass(frozen=True)
class _Frame:
    """The vertical range, in the axis's own unit (log10 if `log`); whether it cuts an interval."""

    low: float
    high: float
    log: bool
    cuts: bool

    @classmethod
    def of(cls, estimates: Sequence[Estimate], name: str) -> "_Frame":
        nothing = [_NOTHING[name][0]] if name in _NOTHING else []
        values = [e.value for e in estimates] + nothing
        counted = name.startswith(_COUNTED) and min(values) > 0
        log = counted and max(values) > _LOGARITHMIC * min(values)
        scale = math.log10 if log else float
        bottom, top = scale(min(values)), scale(max(values))
        usual = 3 * median(scale(e.high) - scale(e.value) for e in estimates)
        reach = max(0.5 * (top - bottom), usual if math.isfinite(usual) else 0.0) or 1.0
        lowest, highest = min(e.low for e in estimates), max(e.high for e in estimates)
        foot = -math.inf if log and lowest <= 0 else scale(lowest)
        low = min(bottom, max(bottom - reach, foot))
        high = max(top, min(top + reach, scale(highest)))
        pad = 0.06 * (high - low) or 1.0
        return cls(low - pad, high + pad, log, foot < low or scale(highest) > high)

    def held(self, value: float) -> float:
        """The value, or a little beyond the frame where it lies far out."""
        far = self.high - self.low
        low, high = self.low - far, self.high + far
        return min(max(value, 10**low), 10**high) if self.log else min(max(value, low), high)

    def axis(self) -> dict[str, Any]:
        if not self.log:
            return {"range": [self.low, self.high]}
        ticks = {"tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}
        return {"type": "log", "range": [self.low, self.high], **ticks}


def _curve(
    figure: go.Figure,
    look: Look,
    layers: Sequence[int],
    estimates: Sequence[Estimate],
    p: Sequence[float] | None,
    frame: _Frame,
) -> None:
    """A line over layers in its band; the organism's own is the strong one."""
    own = look is _OWN
    value, *bounds = ends(estimates)
    low, high = ([frame.held(v) for v in bound] for bound in bounds)
    texts = [
        f"<b>{escape(look.name)}</b> · layer {layer}<br>{describe(e)}"
        + ("" if p is None else f"<br>p = {p[i]:.3g}")
        for i, (layer, e) in enumerate(zip(layers, estimates, strict=True))
    ]
    curve(
        figure,
        layers,
        (value, low, high),
        escape(look.name),
        look.colour,
        texts,
        alpha=0.2 if own else 0.08,
        line={"width": 2.8 if own else 1.4, "dash": None if own else "dot"},
        marker={"size": 7 if own else 5, "symbol": look.symbol},
        where={"legendgroup": look.name},
        legendrank=1 if own else 1000,
    )


def _level(figure: go.Figure, x: Sequence[float], at: float) -> None:
    """A grey line across; a trace, because shapes lie below the grid or above the curves."""
    figure.add_scatter(**UNSEEN, x=[x[0], x[-1]], y=[at, at], line={"color": GREY, "width": 1.4})


def _first(figure: go.Figure, crossings: Crossings) -> None:
    """The first crossing's mean place with its interval, if a pair crosses."""
    at, width = crossings.position, crossings.width
    if at is None:
        return
    rise = "" if width is None else f"<br>10% to 90% of the rise within {width}"
    text = (
        f"<b>first crossing of 1/2</b>, as part of the way<br>{describe(at)}<br>"
        f"crossings per pair {crossings.count}{rise}<br>steps are {crossings.spacing:.2g} apart"
    )
    diamond(figure, at, 0.5, text, "first crossing", BLUE, bar={"color": BLUE})
