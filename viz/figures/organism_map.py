"""Every organism by density and complexity, and what a battery leaves of its behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from probes.stats.intervals import Estimate
from viz.figures.marks import HOVER, bounds, colour_bar, finish, whiskers
from viz.figures.prediction import BELOW, scheme_looks
from viz.text import escape, wrap
from viz.theme import GREY, VERMILION, fade


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
