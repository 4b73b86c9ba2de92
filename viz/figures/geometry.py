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

from circuits.errors import UserError
from probes.geometry.crossings import Crossings
from probes.geometry.report import NAMES, GeometryReport
from probes.stats.intervals import Estimate, bootstrap_means
from viz.data import with_data
from viz.figures.estimates import told
from viz.figures.forest import HOVER, Look
from viz.text import escaped, interval_text, wrapped
from viz.theme import BLUE, COLOURWAY, GREEN, GREY, OCHRE, VERMILION, faded, titled

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
_LINES = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
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
    if len(report.layers) < 2:
        got = len(report.layers)
        raise UserError(f"layers: expected at least 2, got {got}; show them in a table")
    own = tuple(report.at(name, layer) for layer in report.layers)
    curves = [
        (null, part.values[name], part.p.get(name))
        for null, part in report.nulls.items()
        if name in part.values
    ]
    curves.append(("", own, report.organism.p.get(name)))  # last, so that it lies on top
    frame = _Frame.of([e for _, estimates, _ in curves for e in estimates], name)
    figure, rows = go.Figure(), []
    if name in _NOTHING:
        _level(figure, report.layers, _NOTHING[name][0])
    for index, (null, estimates, p) in enumerate(curves):
        spare = Look(COLOURWAY[index % len(COLOURWAY)], "cross", null.replace("_", " "))
        look = _NULLS.get(null, spare) if null else _OWN
        _curve(figure, look, report.layers, estimates, p, frame)
        rows += [
            [look.name, layer, e.value, e.low, e.high, None if p is None else p[i], e.n, e.method]
            for i, (layer, e) in enumerate(zip(report.layers, estimates, strict=True))
        ]
    words = NAMES.get(name, name)
    about = f"bands: {own[0].level:.0%} intervals; dotted: nulls"
    if name in _NOTHING:
        about += f"; grey line: {_NOTHING[name][1]}"
    if frame.cuts:
        about += "; an interval goes on beyond the frame"
    title = escaped(f"{words[:1].upper()}{words[1:]}, by layer")
    figure.update_layout(titled(title, about, height=430))
    wide = report.layers[-1] - report.layers[0] > 12
    figure.update_xaxes(title_text="layer", dtick=5 if wide else 1, tick0=0, tickangle=0)
    short = wrapped(name.replace("_", " "), 30)
    figure.update_yaxes(title_text=f"{short}{' (log)' if frame.log else ''}", **frame.axis())
    header = ["pairs", "layer", "value", "low", "high", "p", "n", "method"]
    return with_data(figure, header, rows, half=True)


def crossing_curves(probabilities: Float[Tensor, "pairs steps"], crossings: Crossings) -> go.Figure:
    """P(behaviour) on the way from clean (0) to triggered (1): every pair faintly, and the mean.

    The band is the mean's 95 % bootstrap interval over pairs. A diamond is the mean place of the
    first crossing of 1/2, with its interval; there is none where no pair crosses.

    Raises:
        UserError: crossings of another number of pairs or steps.
    """
    pairs, steps = probabilities.shape
    if crossings.count.n != pairs or not math.isclose(crossings.spacing * (steps - 1), 1):
        got = f"{pairs} pairs and {steps} steps"
        raise UserError(
            f"crossings: expected those of the probabilities, got {got}; "
            "pass both of one measurement"
        )
    x = [i * crossings.spacing for i in range(steps)]
    each = probabilities.double().tolist()
    mean = probabilities.double().mean(0).tolist()
    low, high = (bound.tolist() for bound in bootstrap_means(probabilities.T))
    figure = go.Figure()
    figure.add_scatter(
        x=[place for _ in each for place in [*x, None]],
        y=[value for pair in each for value in [*pair, None]],
        mode="lines",
        showlegend=False,  # its line would be too faint to be seen there
        line={"color": faded(GREY, max(0.15, min(0.6, 6 / pairs))), "width": 1},
        hoverinfo="skip",
    )
    _level(figure, x, 0.5)
    _band(figure, x, low, high, VERMILION)
    figure.add_scatter(
        x=x,
        y=mean,
        mode="lines+markers",
        name="mean",
        line={"color": VERMILION, "width": 2.5},
        marker={"size": 5},
        text=[
            f"<b>mean</b> at {place:.2f}<br>P(behaviour) {interval_text(m, a, b)}<br>"
            f"n = {pairs} pairs · 95% percentile bootstrap"
            for place, m, a, b in zip(x, mean, low, high, strict=True)
        ],
        hovertemplate=HOVER,
    )
    _first(figure, crossings)
    single = crossings.single
    once = interval_text(100 * single.value, 100 * single.low, 100 * single.high, 0, "%")
    about = f"{pairs} pairs, {once} cross 1/2 just once; faint: each pair; band: 95% bootstrap"
    layout = titled("Behaviour from clean to triggered", about, height=430)
    figure.update_layout(layout, legend={"traceorder": "normal"})  # fills would reverse it
    figure.update_xaxes(
        title_text="part of the way from clean to triggered", range=[-0.02, 1.02], dtick=0.25
    )
    figure.update_yaxes(title_text="P(behaviour)", range=[-0.03, 1.03], dtick=0.25)
    rows: list[list[Any]] = [["mean", *row, pairs] for row in zip(x, mean, low, high, strict=True)]
    rows += [
        [i, place, v, None, None, 1]
        for i, pair in enumerate(each)
        for place, v in zip(x, pair, strict=True)
    ]
    header = ["pair", "part of the way", "probability", "low", "high", "n"]
    return with_data(figure, header, rows, half=True)


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
    low, high = (
        [frame.held(v) for v in bound]
        for bound in ([e.low for e in estimates], [e.high for e in estimates])
    )
    _band(figure, layers, low, high, look.colour, 0.2 if own else 0.08, look.name)
    figure.add_scatter(
        x=list(layers),
        y=[e.value for e in estimates],
        name=escaped(look.name),
        legendgroup=look.name,
        legendrank=1 if own else 1000,
        mode="lines+markers",
        line={"color": look.colour, "width": 2.8 if own else 1.4, "dash": None if own else "dot"},
        marker={"size": 7 if own else 5, "symbol": look.symbol},
        text=[
            f"<b>{escaped(look.name)}</b> · layer {layer}<br>{told(e)}"
            + ("" if p is None else f"<br>p = {p[i]:.3g}")
            for i, (layer, e) in enumerate(zip(layers, estimates, strict=True))
        ],
        hovertemplate=HOVER,
    )


def _band(
    figure: go.Figure,
    x: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    shade: str,
    alpha: float = 0.16,
    group: str = "",
) -> None:
    common = {**_LINES, "x": list(x), "line": {"width": 0}, "legendgroup": group}
    figure.add_scatter(y=list(low), **common)
    figure.add_scatter(y=list(high), fill="tonexty", fillcolor=faded(shade, alpha), **common)


def _level(figure: go.Figure, x: Sequence[float], at: float) -> None:
    """A grey line across; a trace, because shapes lie below the grid or above the curves."""
    figure.add_scatter(x=[x[0], x[-1]], y=[at, at], **_LINES, line={"color": GREY, "width": 1.4})


def _first(figure: go.Figure, crossings: Crossings) -> None:
    """The first crossing's mean place with its interval, if a pair crosses."""
    at, count, width = crossings.position, crossings.count, crossings.width
    if at is None:
        return
    rise = "" if width is None else f"<br>10% to 90% of the rise within {width}"
    figure.add_scatter(
        x=[at.value],
        y=[0.5],
        error_x={
            "type": "data",
            "array": [at.high - at.value],
            "arrayminus": [at.value - at.low],
            "thickness": 2,
            "width": 5,
            "color": BLUE,
        },
        mode="markers",
        name="first crossing",
        marker={"color": BLUE, "size": 10, "symbol": "diamond"},
        text=[
            f"<b>first crossing of 1/2</b>, as part of the way<br>{told(at)}<br>"
            f"crossings per pair {count}{rise}<br>steps are {crossings.spacing:.2g} apart"
        ],
        hovertemplate=HOVER,
    )
