"""The marks that figures are made of, the frame around them, and what hover boxes say.

Texts for hover boxes and titles must be escaped already. A share is drawn in per cent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import plotly.graph_objects as go

from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.text import escape
from viz.theme import COLOURWAY, GREY, fade, template

N = TypeVar("N", int, float)
HOVER = "%{text}<extra></extra>"
LINE, AXIS = 18, 34  # characters to a line of a row's name, of an axis's or a hover's
SYMBOLS = ("circle", "square", "cross", "star", "hexagon", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
UNSEEN: dict[str, Any] = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
DOTTED: dict[str, Any] = {"width": 1, "dash": "dot", "color": GREY}
DASHED: dict[str, Any] = {"width": 1.2, "dash": "dash", "color": GREY}


@dataclass(frozen=True)
class Look:
    """How a series is told apart from the others."""

    colour: str
    symbol: str
    name: str

    @classmethod
    def of(cls, index: int, name: str, symbols: Sequence[str] = SYMBOLS) -> "Look":
        """The index-th colour and symbol; both come again where there are no more."""
        return cls(COLOURWAY[index % len(COLOURWAY)], symbols[index % len(symbols)], name)


def finish(
    figure: go.Figure,
    title: str,
    about: str,
    height: int,
    rows: Sequence[Mapping[str, Any]],
    half: bool = False,
    drop: int = 26,
    x: Mapping[str, Any] | None = None,
    y: Mapping[str, Any] | None = None,
    **layout: Any,
) -> go.Figure:
    """`figure` with what stands around its marks, and with the numbers behind it.

    Args:
        height: in px.
        rows: of numbers, a column per key.
        half: whether half the page's width is enough.
        drop: how far (px) the title hangs below the top edge.
        x, y: of the axes.
    """
    place = {"y": 1 - drop / height, "yanchor": "bottom", "yref": "container"}
    figure.update_layout(
        template=template(False),
        title={"text": title, "subtitle": {"text": about}, **place},
        height=height,
        **layout,
    )
    figure.update_xaxes(**(x or {}))
    figure.update_yaxes(**(y or {}))
    return with_data(figure, rows, half)


def whiskers(
    estimates: Sequence[Estimate],
    scale: float = 1,
    width: float = 4,
    thickness: float = 1.4,
    **look: Any,
) -> dict[str, Any]:
    """Error bars of estimates that are drawn times `scale`."""
    return {
        "type": "data",
        "array": [scale * (e.high - e.value) for e in estimates],
        "arrayminus": [scale * (e.value - e.low) for e in estimates],
        "thickness": thickness,
        "width": width,
        **look,
    }


def shares(rates: Sequence[Estimate], width: float = 4, colour: str = GREY) -> dict[str, Any]:
    """Height and whiskers of shares, in per cent."""
    heights = [100 * rate.value for rate in rates]
    return {"y": heights, "error_y": whiskers(rates, 100, width, color=colour)}


def diamond(
    figure: go.Figure,
    at: Estimate,
    y: float,
    text: str,
    name: str,
    colour: str,
    size: float = 10,
    bar: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """An estimate on the horizontal axis with its interval, at a height."""
    figure.add_scatter(
        x=[at.value],
        y=[y],
        error_x={**whiskers([at], width=5, thickness=2), **(bar or {})},
        mode="markers",
        marker={"color": colour, "size": size, "symbol": "diamond"},
        name=name,
        text=[text],
        hovertemplate=HOVER,
        **more,
    )


def band(
    figure: go.Figure,
    x: Sequence[float],
    low: Sequence[float | None],
    high: Sequence[float | None],
    colour: str,
    alpha: float = 0.16,
    **where: Any,
) -> None:
    """The area between two curves, without hover or legend entry of its own."""
    common = {**UNSEEN, "x": list(x), "line": {"width": 0}, **where}
    figure.add_scatter(y=list(low), **common)
    figure.add_scatter(y=list(high), fill="tonexty", fillcolor=fade(colour, alpha), **common)


def curve(
    figure: go.Figure,
    x: Sequence[float],
    numbers: tuple[Sequence[float | None], ...],
    name: str,
    colour: str,
    texts: Sequence[str],
    alpha: float = 0.16,
    line: Mapping[str, Any] | None = None,
    marker: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """A line with points in the band of its interval; `where` places and groups both.

    Args:
        numbers: values, their low and their high ends.
        name: escaped.
        texts: of the points, for the hover.
    """
    value, low, high = numbers
    band(figure, x, low, high, colour, alpha, **(where or {}))
    figure.add_scatter(
        x=list(x),
        y=list(value),
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 2, **(line or {})},
        marker={"size": 5, **(marker or {})},
        text=list(texts),
        hovertemplate=HOVER,
        **(where or {}),
        **more,
    )


def ends(estimates: Sequence[Estimate], scale: float = 1) -> tuple[list[float], ...]:
    """Values, low and high ends of estimates that are drawn times `scale`."""
    numbers = [(scale * e.value, scale * e.low, scale * e.high) for e in estimates]
    value, low, high = (list(column) for column in zip(*numbers, strict=True))
    return value, low, high


def name_rows(texts: Sequence[str], at: Sequence[float] | None = None) -> dict[str, Any]:
    """A vertical axis whose rows have names, the first on top; `texts` are escaped."""
    places = list(range(len(texts))) if at is None else list(at)
    return {
        "tickvals": places,
        "ticktext": list(texts),
        "range": [places[-1] + 0.6, -0.6],
        "showgrid": False,
        "ticks": "",
    }


def keep_apart(values: Sequence[N], least: float, place: Callable[[N], float] = float) -> list[N]:
    """The rising values, from the last down, that stand so far from the one kept before."""
    kept = [values[-1]]
    for value in reversed(values[:-1]):
        if place(kept[-1]) - place(value) >= least:
            kept.append(value)
    return kept[::-1]


def colour_bar(title: str, **more: Any) -> dict[str, Any]:
    """A colour axis with its bar above the plot."""
    bar = {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1.015,
        "yanchor": "bottom",
        "len": 1,
        "thickness": 9,
        "xpad": 0,
        "ypad": 0,
        "outlinewidth": 0,
        "title": {"text": title, "side": "top"},
        **more,
    }
    return {"autocolorscale": True, "colorbar": bar}


def source(e: Estimate, of: str = "") -> str:
    """What an estimate rests on: n (of what), level and method."""
    return f"n = {e.n}{of} · {e.level:.0%} {escape(e.method or 'interval')}"


def describe(e: Estimate) -> str:
    """An estimate for a hover box: value [low, high]; n, level and method."""
    return f"{str(e).rsplit(' (n=', 1)[0]}<br>{source(e)}"


def bounds(e: Estimate | None, name: str, prefix: str = "") -> dict[str, float | None]:
    """Value, low and high as three columns of numbers; empty for none."""
    numbers = (e.value, e.low, e.high) if e else (None,) * 3
    return dict(zip((name, f"{prefix}low", f"{prefix}high"), numbers, strict=True))


def columns(e: Estimate, name: str, level: str = "level") -> dict[str, Any]:
    """Everything known of an estimate as columns of numbers."""
    return {**bounds(e, name), "n": e.n, level: e.level, "method": e.method}
