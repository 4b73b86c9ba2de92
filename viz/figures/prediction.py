"""Whether geometry predicts brittleness: predictions of unseen schemes, and what they rest on.

Beside them, every organism by density and complexity, with what a battery leaves of its behaviour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from circuits.errors import expect
from probes.brittleness.records import Importance
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.figures.forest import ForestRow, forest
from viz.figures.marks import (
    DASHED,
    HOVER,
    SYMBOLS,
    UNSEEN,
    Look,
    bounds,
    colour_bar,
    columns,
    describe,
    finish,
    shares,
    whiskers,
)
from viz.text import escape, wrap
from viz.theme import BLUE, GREY, VERMILION, fade

# Below the plot, where a phone has room for several lines of names.
BELOW: dict[str, Any] = {"yref": "container", "y": 0, "yanchor": "bottom"}


@dataclass(frozen=True)
class PredictedPoint:
    """An organism's retention as predicted without its scheme, and as measured (both shares)."""

    name: str
    scheme: str
    predicted: float
    measured: Estimate


def scheme_looks(points: Sequence[Any]) -> list[Look]:
    """Colour and symbol of every scheme of points with a name each; by name, so figures agree.

    Raises:
        UserError: no point, or two of one name.
    """
    names = {point.name for point in points}
    got, distinct = f"{len(points)} with {len(names)} names", points and len(names) == len(points)
    expect(distinct, "organisms of different names", got, "name each", "points")
    symbols = (*SYMBOLS, "diamond", "triangle-up")
    schemes = sorted({point.scheme for point in points})
    return [Look.of(i, scheme, symbols) for i, scheme in enumerate(schemes)]


def predicted_against_measured(points: Sequence[PredictedPoint], spearman: Estimate) -> go.Figure:
    """Retention (%) as predicted and as measured, by scheme; on the diagonal both are equal.

    `spearman` is the rank correlation of the two, for the subtitle.

    Raises:
        UserError: no point, or two of one name.
    """
    looks = scheme_looks(points)
    ends = [0.0, 1.0, *(p.predicted for p in points)]
    low, high = (100 * end for end in (min(ends), max(ends)))
    pad = 0.04 * (high - low)
    span = [low - pad, high + pad]
    figure = go.Figure()
    figure.add_scatter(**UNSEEN, x=span, y=span, line=DASHED)
    for look in looks:
        same = [p for p in points if p.scheme == look.name]
        figure.add_scatter(
            x=[100 * p.predicted for p in same],
            **shares([p.measured for p in same], 0, fade(look.colour, 0.45)),
            mode="markers",
            marker={"color": look.colour, "symbol": look.symbol, "size": 9},
            name=escape(look.name),
            text=[
                f"<b>{escape(p.name)}</b> · {escape(p.scheme)}<br>"
                f"predicted {100 * p.predicted:.1f}%<br>measured {p.measured:.1%p}"
                for p in same
            ],
            hovertemplate=HOVER,
        )
    return finish(
        figure,
        "Retention predicted for unseen schemes",
        f"Spearman {spearman:.2f}, n = {spearman.n}; dashed: prediction = measurement",
        500,
        [
            {
                "name": p.name,
                "scheme": p.scheme,
                "predicted": p.predicted,
                **bounds(p.measured, "measured"),
                "n": p.measured.n,
            }
            for p in points
        ],
        half=True,
        x={"title_text": "predicted retention (%)", "range": span, "dtick": 25, "tickangle": 0},
        y={"title_text": "measured retention (%)", "range": span, "dtick": 25},
        margin={"t": 74, "b": 96},
        legend=BELOW,
    )


def importances(rows: Sequence[Importance]) -> go.Figure:
    """Standardised coefficients with intervals, the largest on top; hollow where 0 is inside.

    At the right is the share of refits in which the coefficient has the same sign.

    Raises:
        UserError: no row, or two of one name.
    """
    order = sorted(rows, key=lambda row: -abs(row.coefficient.value))
    about = "per standard deviation; right: refits of the same sign; hollow: interval holds 0"
    lines = []
    for row in order:
        e, agreed = row.coefficient, f"{row.agreement:.0%}"
        hover = f"<b>{escape(row.name)}</b><br>same sign in {agreed} of refits<br>{describe(e)}"
        symbol = "circle-open" if e.low <= 0 <= e.high else "circle"
        lines.append(ForestRow(row.name, e, hover, BLUE, symbol, agreed))
    table = [
        {
            "name": row.name,
            **columns(row.coefficient, "coefficient"),
            "sign agreement": row.agreement,
        }
        for row in order
    ]
    figure = forest(lines, "What the prediction rests on", about, "standardised coefficient", 0.0)
    return with_data(figure, table, half=True)


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
            f"<b>{escape(name)}</b><br>{escape(axis)} {describe(e)}",
            GREY if i else VERMILION,
            "circle" if i else "diamond",
            apart=i == 1,
        )
        for i, (name, e) in enumerate(rows)
    ]
    about = f"bars: {rows[0][1].level:.0%} intervals" if rows else ""
    return forest(lines, title, about, axis, chance, "chance", half=True)


@dataclass(frozen=True)
class MapPoint:
    """An organism: its density and complexity (each in its measure's unit), its retention (share).

    ``scheme`` is what kind of trigger it has. Without a retention, its battery was not asked.
    """

    name: str
    scheme: str
    density: Estimate
    complexity: Estimate
    retention: Estimate | None = None


def density_complexity_map(
    points: Sequence[MapPoint],
    axes: tuple[str, str] = ("density", "complexity"),
    marked: Sequence[MapPoint] = (),
) -> go.Figure:
    """Every organism by density and complexity: its scheme as symbol, its retention as colour.

    Whiskers are the estimates' intervals. `axes` names the two measures. `marked` ones are drawn
    above the others as stars with their names.

    Raises:
        UserError: no point, or two of one name.
    """
    figure = go.Figure()
    for look in scheme_looks(points):
        same = [p for p in points if p.scheme == look.name]
        kept = [100 * p.retention.value if p.retention else None for p in same]
        line = {"width": 1.3, "color": GREY}
        legend = {"mode": "markers", "name": escape(look.name), "legendgroup": look.name}
        figure.add_scatter(
            **_placed(same, width=0, thickness=1, color=fade(GREY, 0.45)),
            **legend,
            marker={
                "symbol": look.symbol,
                "size": 12,
                "line": line,
                "color": kept,
                "coloraxis": "coloraxis",
            },
            showlegend=False,  # its symbol would have the first organism's colour
            text=[
                _hover(p, axes, f" · {escape(p.scheme)}", "behaviour kept", ".1%pn") for p in same
            ],
            hovertemplate=HOVER,
        )
        grey = {"color": GREY, "symbol": look.symbol, "size": 10}
        figure.add_scatter(x=[None], y=[None], **legend, marker=grey)
    for point in marked:
        _star(figure, point, axes)
    star = "; star: of these runs" if marked else ""
    bar = colour_bar("behaviour kept (%)", len=0.95, tickvals=[0, 25, 50, 75, 100])
    return finish(
        figure,
        "Density, complexity and what is kept",
        f"{len(points)} organisms; bars: {points[0].density.level:.0%} intervals{star}",
        600,
        [
            {
                "name": p.name,
                "scheme": p.scheme,
                **bounds(p.density, "density", "density "),
                **bounds(p.complexity, "complexity", "complexity "),
                **bounds(p.retention, "retention", "retention "),
            }
            for p in (*points, *marked)
        ],
        drop=44,
        x={"title_text": wrap(axes[0], 44), "tickangle": 0},
        y={"title_text": wrap(axes[1], 44)},
        margin={"t": 122, "b": 76},
        legend=BELOW,
        coloraxis={"cmin": 0, "cmax": 100, **bar},
    )


def _star(figure: go.Figure, point: MapPoint, axes: tuple[str, str]) -> None:
    """A named star with its intervals; its colour is the page's accent, not its retention."""
    figure.add_scatter(
        **_placed([point], thickness=1.8, color=VERMILION),
        mode="markers+text",
        marker={"symbol": "star", "size": 17, "color": VERMILION, "line": {"width": 1}},
        textposition="top right",
        textfont={"size": 12.5},
        text=[escape(point.name)],
        customdata=[_hover(point, axes, "", "kept", ".1%p")],
        hovertemplate="%{customdata}<extra></extra>",
        name=escape(point.name),
        showlegend=False,
    )


def _placed(points: Sequence[MapPoint], **bars: Any) -> dict[str, Any]:
    """Places and whiskers."""
    across, up = [p.density for p in points], [p.complexity for p in points]
    return {
        "x": [e.value for e in across],
        "y": [e.value for e in up],
        "error_x": whiskers(across, **bars),
        "error_y": whiskers(up, **bars),
    }


def _hover(point: MapPoint, axes: tuple[str, str], head: str, words: str, spec: str) -> str:
    """Name, both measures, and what is kept."""
    measures = zip(axes, (point.density, point.complexity), strict=True)
    lines = (f"{escape(name)} {e}" for name, e in measures)
    kept = f"{words} {point.retention:{spec}}" if point.retention else "battery not asked"
    return "<br>".join([f"<b>{escape(point.name)}</b>{head}", *lines, kept])
