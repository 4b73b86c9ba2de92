"""Whether geometry predicts brittleness: the map of organisms, predictions, what they rest on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from circuits.errors import UserError
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.figures.estimates import ForestFrame, ForestRow, forest, percent, told
from viz.figures.forest import HOVER, SYMBOLS, Look
from viz.text import escaped, interval_text, wrapped
from viz.theme import BLUE, COLOURWAY, GREY, VERMILION, faded, titled, whiskers

_SYMBOLS = (*SYMBOLS, "diamond", "triangle-up")
# Below the plot, where a phone has room for several lines of names.
_BELOW = {"yref": "container", "y": 0, "yanchor": "bottom"}


@dataclass(frozen=True)
class MapPoint:
    """An organism: its density and complexity (each in its measure's unit), its retention (share).

    ``scheme`` is what kind of trigger it has.
    """

    name: str
    scheme: str
    density: Estimate
    complexity: Estimate
    retention: Estimate


@dataclass(frozen=True)
class PredictedPoint:
    """An organism's retention as predicted without its scheme, and as measured (both shares)."""

    name: str
    scheme: str
    predicted: float
    measured: Estimate


@dataclass(frozen=True)
class Importance:
    """A feature's standardised coefficient; `agreement`: share of refits with the same sign."""

    name: str
    coefficient: Estimate
    agreement: float


@dataclass(frozen=True)
class MarkedPoint:
    """One to stand out on the map; without a retention, its battery was not asked."""

    name: str
    density: Estimate
    complexity: Estimate
    retention: Estimate | None = None


def density_complexity_map(
    points: Sequence[MapPoint],
    axes: tuple[str, str] = ("density", "complexity"),
    marked: Sequence[MarkedPoint] = (),
) -> go.Figure:
    """Every organism by density and complexity: its scheme as symbol, its retention as colour.

    Whiskers are the estimates' intervals. `axes` names the two measures. `marked` ones are drawn
    above the others as stars with their names.

    Raises:
        UserError: no point, or two of one name.
    """
    looks = _looks(points)
    figure = go.Figure()
    for scheme, look in looks.items():
        found = [point for point in points if point.scheme == scheme]
        figure.add_scatter(
            x=[p.density.value for p in found],
            y=[p.complexity.value for p in found],
            error_x=_faint([p.density for p in found]),
            error_y=_faint([p.complexity for p in found]),
            mode="markers",
            marker={
                "color": [100 * p.retention.value for p in found],
                "coloraxis": "coloraxis",
                "symbol": look.symbol,
                "size": 12,
                "line": {"width": 1.3, "color": GREY},
            },
            name=escaped(scheme),
            legendgroup=scheme,
            showlegend=False,  # its symbol would have the first organism's colour
            text=[_map_hover(p, axes) for p in found],
            hovertemplate=HOVER,
        )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"color": GREY, "symbol": look.symbol, "size": 10},
            name=escaped(scheme),
            legendgroup=scheme,
        )
    for point in marked:
        _star(figure, point, axes)
    about = f"{len(points)} organisms; bars: {points[0].density.level:.0%} intervals"
    about += "; star: of these runs" if marked else ""
    figure.update_layout(
        titled("Density, complexity and what is kept", about, height=600, drop=44),
        margin={"t": 122, "b": 76},
        legend=_BELOW,
        coloraxis={"cmin": 0, "cmax": 100, "autocolorscale": True, "colorbar": _bar()},
    )
    figure.update_xaxes(title_text=wrapped(axes[0], 44), tickangle=0)
    figure.update_yaxes(title_text=wrapped(axes[1], 44))
    header = [
        "name",
        "scheme",
        *(
            f"{what}{end}"
            for what in ("density", "complexity", "retention")
            for end in ("", " low", " high")
        ),
    ]
    rows = [
        [
            p.name,
            p.scheme,
            *(v for e in (p.density, p.complexity, p.retention) for v in (e.value, e.low, e.high)),
        ]
        for p in points
    ]
    rows += [
        [
            p.name,
            "this report",
            *(
                v
                for e in (p.density, p.complexity, p.retention)
                for v in ((e.value, e.low, e.high) if e else (None,) * 3)
            ),
        ]
        for p in marked
    ]
    return with_data(figure, header, rows)


def _star(figure: go.Figure, point: MarkedPoint, axes: tuple[str, str]) -> None:
    """A named star with its intervals; its colour is the page's accent, not its retention."""
    kept = "battery not asked" if point.retention is None else f"kept {percent(point.retention)}"
    lines = [
        f"{escaped(name)} {e}"
        for name, e in zip(axes, (point.density, point.complexity), strict=True)
    ]
    figure.add_scatter(
        x=[point.density.value],
        y=[point.complexity.value],
        error_x={**_faint([point.density]), "color": VERMILION, "thickness": 1.8, "width": 4},
        error_y={**_faint([point.complexity]), "color": VERMILION, "thickness": 1.8, "width": 4},
        mode="markers+text",
        marker={"symbol": "star", "size": 17, "color": VERMILION, "line": {"width": 1}},
        textposition="top right",
        textfont={"size": 12.5},
        text=[escaped(point.name)],
        customdata=["<br>".join([f"<b>{escaped(point.name)}</b>", *lines, kept])],
        hovertemplate="%{customdata}<extra></extra>",
        name=escaped(point.name),
        showlegend=False,
    )


def predicted_against_measured(points: Sequence[PredictedPoint], spearman: Estimate) -> go.Figure:
    """Retention (%) as predicted and as measured, by scheme; on the diagonal both are equal.

    `spearman` is the rank correlation of the two, for the subtitle.

    Raises:
        UserError: no point, or two of one name.
    """
    looks = _looks(points)
    ends = [0.0, 1.0, *(p.predicted for p in points)]
    low, high = (100 * end for end in (min(ends), max(ends)))
    pad = 0.04 * (high - low)
    span = [low - pad, high + pad]
    figure = go.Figure()
    figure.add_scatter(
        x=span,
        y=span,
        mode="lines",
        showlegend=False,
        hoverinfo="skip",
        line={"color": GREY, "width": 1.2, "dash": "dash"},
    )
    for scheme, look in looks.items():
        found = [point for point in points if point.scheme == scheme]
        measured = [point.measured for point in found]
        figure.add_scatter(
            x=[100 * p.predicted for p in found],
            y=[100 * e.value for e in measured],
            error_y={**whiskers(measured, 0), "color": faded(look.colour, 0.45)},
            mode="markers",
            marker={"color": look.colour, "symbol": look.symbol, "size": 9},
            name=escaped(scheme),
            text=[
                f"<b>{escaped(p.name)}</b> · {escaped(scheme)}<br>"
                f"predicted {100 * p.predicted:.1f}%<br>measured {percent(p.measured)}"
                for p in found
            ],
            hovertemplate=HOVER,
        )
    rank = interval_text(spearman.value, spearman.low, spearman.high)
    about = f"Spearman {rank}, n = {spearman.n}; dashed: prediction = measurement"
    figure.update_layout(
        titled("Retention predicted for unseen schemes", about, height=500),
        margin={"t": 74, "b": 96},
        legend=_BELOW,
    )
    figure.update_xaxes(title_text="predicted retention (%)", range=span, dtick=25, tickangle=0)
    figure.update_yaxes(title_text="measured retention (%)", range=span, dtick=25)
    rows = [
        [p.name, p.scheme, p.predicted, e.value, e.low, e.high, e.n]
        for p, e in ((point, point.measured) for point in points)
    ]
    header = ["name", "scheme", "predicted", "measured", "low", "high", "n"]
    return with_data(figure, header, rows, half=True)


def importances(rows: Sequence[Importance]) -> go.Figure:
    """Standardised coefficients with intervals, the largest on top; hollow where 0 is inside.

    At the right is the share of refits in which the coefficient has the same sign.

    Raises:
        UserError: no row, or two of one name.
    """
    order = sorted(rows, key=lambda row: -abs(row.coefficient.value))
    about = "per standard deviation; right: refits of the same sign; hollow: interval holds 0"
    frame = ForestFrame("What the prediction rests on", about, "standardised coefficient", 0.0)
    figure = forest([_importance_row(row) for row in order], frame)
    header = ["name", "coefficient", "low", "high", "n", "level", "method", "sign agreement"]
    table = [
        [r.name, e.value, e.low, e.high, e.n, e.level, e.method, r.agreement]
        for r, e in ((row, row.coefficient) for row in order)
    ]
    return with_data(figure, header, table, half=True)


def against_baselines(
    rows: Sequence[tuple[str, Estimate]], title: str, axis: str, chance: float
) -> go.Figure:
    """The model (the first row) and its baselines on one figure of merit, with the chance line.

    Raises:
        UserError: no row, or two of one name.
    """
    lines = [
        ForestRow(
            name,
            e,
            f"<b>{escaped(name)}</b><br>{escaped(axis)} {told(e)}",
            GREY if i else VERMILION,
            "circle" if i else "diamond",
            apart=i == 1,
        )
        for i, (name, e) in enumerate(rows)
    ]
    about = f"bars: {rows[0][1].level:.0%} intervals" if rows else ""
    return forest(lines, ForestFrame(title, about, axis, chance, "chance", half=True))


def _looks(points: Sequence[MapPoint] | Sequence[PredictedPoint]) -> dict[str, Look]:
    """Colour and symbol of every scheme; in order of name, so that figures agree."""
    if not points or len({point.name for point in points}) < len(points):
        got = f"{len(points)} with {len({point.name for point in points})} names"
        raise UserError(f"points: expected organisms of different names, got {got}; name each")
    return {
        scheme: Look(COLOURWAY[i % len(COLOURWAY)], _SYMBOLS[i % len(_SYMBOLS)], scheme)
        for i, scheme in enumerate(sorted({point.scheme for point in points}))
    }


def _importance_row(row: Importance) -> ForestRow:
    e = row.coefficient
    inside = e.low <= 0 <= e.high
    agreed = f"{row.agreement:.0%}"
    hover = f"<b>{escaped(row.name)}</b><br>same sign in {agreed} of refits<br>{told(e)}"
    return ForestRow(row.name, e, hover, BLUE, "circle-open" if inside else "circle", agreed)


def _faint(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Whiskers in the measure's own unit, behind what they belong to."""
    return {
        "type": "data",
        "array": [e.high - e.value for e in estimates],
        "arrayminus": [e.value - e.low for e in estimates],
        "thickness": 1,
        "width": 0,
        "color": faded(GREY, 0.45),
    }


def _bar() -> dict[str, Any]:
    """A colour bar above the plot, as wide as it."""
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1.015,
        "yanchor": "bottom",
        "len": 0.95,
        "thickness": 9,
        "xpad": 0,
        "ypad": 0,
        "outlinewidth": 0,
        "tickvals": [0, 25, 50, 75, 100],
        "title": {"text": "behaviour kept (%)", "side": "top"},
    }


def _map_hover(point: MapPoint, axes: tuple[str, str]) -> str:
    lines = [
        f"{escaped(name)} {e}"
        for name, e in zip(axes, (point.density, point.complexity), strict=True)
    ]
    kept = f"behaviour kept {percent(point.retention)} (n={point.retention.n})"
    head = f"<b>{escaped(point.name)}</b> · {escaped(point.scheme)}"
    return "<br>".join([head, *lines, kept])
