"""Estimates with their intervals, a row each: the forest that several pages share."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import UserError
from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.figures.forest import HOVER
from viz.text import escaped, interval_text, wrapped
from viz.theme import BLUE, GREY, titled

_LINE, _AXIS = 18, 34  # characters to a line of a row's name, of an axis's
_NOTES = 4  # room for notes at the right, in margins of the axis


@dataclass(frozen=True)
class ForestRow:
    """An estimate on a line of its own; `hover` is escaped already.

    `note` stands at the right end, `apart` leaves a gap above.
    """

    name: str
    estimate: Estimate
    hover: str
    colour: str = BLUE
    symbol: str = "circle"
    note: str = ""
    apart: bool = False


@dataclass(frozen=True)
class ForestFrame:
    """What stands around a forest's rows: plain words, and a dashed line at a value.

    Estimates are drawn times `scale`. `half` asks for half the page's width.
    """

    title: str
    about: str
    axis: str
    line: float | None = None
    line_name: str = ""
    scale: float = 1.0
    half: bool = False


def forest(rows: Sequence[ForestRow], frame: ForestFrame) -> go.Figure:
    """Estimates with their intervals, a row each, the first on top.

    Raises:
        UserError: no row, or two of one name.
    """
    if not rows or len({row.name for row in rows}) < len(rows):
        raise UserError(f"forest: expected rows of different names, got {len(rows)}; name each")
    at = [i + 0.5 * sum(row.apart for row in rows[: i + 1]) for i in range(len(rows))]
    figure = go.Figure()
    for y, row in zip(at, rows, strict=True):
        _row(figure, row, y, frame.scale)
    texts = [wrapped(row.name, _LINE) for row in rows]
    tall = sum(16 + 13 * (1 + text.count("<br>")) for text in texts)
    tall = round(tall * (1 + 0.5 * sum(row.apart for row in rows) / len(rows)))
    figure.update_layout(
        titled(escaped(frame.title), escaped(frame.about), height=158 + tall), margin={"t": 74}
    )
    ends = [frame.scale * end for row in rows for end in (row.estimate.low, row.estimate.high)]
    if frame.line is not None:
        ends.append(frame.line)
        note = {
            "text": escaped(frame.line_name),
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "font": {"size": 11},
        }
        figure.add_vline(
            x=frame.line, line={"width": 1.2, "dash": "dash", "color": GREY}, annotation=note
        )
    pad = 0.05 * (max(ends) - min(ends)) or 1.0
    room = _NOTES * pad * any(row.note for row in rows)
    figure.update_xaxes(
        title_text=wrapped(frame.axis, _AXIS),
        range=[min(ends) - pad, max(ends) + pad + room],
        tickangle=0,
    )
    figure.update_yaxes(
        tickvals=at, ticktext=texts, range=[at[-1] + 0.6, -0.6], showgrid=False, ticks=""
    )
    header = ["name", "value", "low", "high", "n", "level", "method", "note"]
    table = [
        [r.name, e.value, e.low, e.high, e.n, e.level, e.method, r.note]
        for r, e in ((row, row.estimate) for row in rows)
    ]
    return with_data(figure, header, table, frame.half)


def _row(figure: go.Figure, row: ForestRow, y: float, scale: float) -> None:
    e = row.estimate
    figure.add_scatter(
        x=[scale * e.value],
        y=[y],
        mode="markers",
        error_x={
            "type": "data",
            "array": [scale * (e.high - e.value)],
            "arrayminus": [scale * (e.value - e.low)],
            "thickness": 1.8,
            "width": 4,
            "color": row.colour,
        },
        marker={
            "color": row.colour,
            "size": 10,
            "symbol": row.symbol,
            "line": {"width": 2, "color": row.colour},
        },
        name=escaped(row.name),
        showlegend=False,
        text=[row.hover],
        hovertemplate=HOVER,
    )
    if row.note:
        figure.add_annotation(
            text=escaped(row.note),
            xref="paper",
            x=1,
            y=y,
            showarrow=False,
            xanchor="right",
            yanchor="middle",
            font={"size": 11},
        )


def told(e: Estimate) -> str:
    """An estimate for a hover box: value [low, high]; n, level and method."""
    return f"{str(e).rsplit(' (n=', 1)[0]}<br>{source(e)}"


def percent(e: Estimate, digits: int = 1) -> str:
    """A share as per cent with its interval."""
    return interval_text(100 * e.value, 100 * e.low, 100 * e.high, digits, "%")


def source(e: Estimate) -> str:
    """What an estimate rests on: n, level and method; escaped."""
    return f"n = {e.n} · {e.level:.0%} {escaped(e.method or 'interval')}"
