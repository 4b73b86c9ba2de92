"""Estimates with their intervals, a row each: the forest that several pages share."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from probes.stats.intervals import Estimate
from viz.figures.marks import AXIS, DASHED, HOVER, LINE, columns, finish, name_rows, whiskers
from viz.text import escape, wrap
from viz.theme import BLUE

_NOTES = 4  # room for notes at the right, in margins of the axis
_SMALL = {"size": 11}


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


def forest(
    rows: Sequence[ForestRow],
    title: str,
    about: str,
    axis: str,
    line: float | None = None,
    line_name: str = "",
    scale: float = 1.0,
    half: bool = False,
) -> go.Figure:
    """Estimates with their intervals, a row each, the first on top; words around them are plain.

    Args:
        line: where a dashed line stands.
        scale: by which the estimates are multiplied.
        half: whether half the page's width is enough.

    Raises:
        UserError: no row, or two of one name.
    """
    distinct = rows and len({row.name for row in rows}) == len(rows)
    expect(distinct, "rows of different names", len(rows), "name each", "forest")
    at = [i + 0.5 * sum(row.apart for row in rows[: i + 1]) for i in range(len(rows))]
    figure = go.Figure()
    for y, row in zip(at, rows, strict=True):
        _row(figure, row, y, scale)
    ends = [scale * end for row in rows for end in (row.estimate.low, row.estimate.high)]
    if line is not None:
        ends.append(line)
        place = {"y": 1, "yref": "paper", "yanchor": "bottom", "font": _SMALL}
        note = {"text": escape(line_name), **place}
        figure.add_vline(x=line, line=DASHED, annotation=note)
    pad = 0.05 * (max(ends) - min(ends)) or 1.0
    room = _NOTES * pad * any(row.note for row in rows)
    texts = [wrap(row.name, LINE) for row in rows]
    tall = sum(16 + 13 * (1 + text.count("<br>")) for text in texts)
    return finish(
        figure,
        escape(title),
        escape(about),
        158 + round(tall * (1 + 0.5 * sum(row.apart for row in rows) / len(rows))),
        [{"name": row.name, **columns(row.estimate, "value"), "note": row.note} for row in rows],
        half,
        x={
            "title_text": wrap(axis, AXIS),
            "range": [min(ends) - pad, max(ends) + pad + room],
            "tickangle": 0,
        },
        y=name_rows(texts, at),
        margin={"t": 74},
    )


def _row(figure: go.Figure, row: ForestRow, y: float, scale: float) -> None:
    line = {"width": 2, "color": row.colour}
    figure.add_scatter(
        x=[scale * row.estimate.value],
        y=[y],
        mode="markers",
        error_x=whiskers([row.estimate], scale, thickness=1.8, color=row.colour),
        marker={"color": row.colour, "size": 10, "symbol": row.symbol, "line": line},
        name=escape(row.name),
        showlegend=False,
        text=[row.hover],
        hovertemplate=HOVER,
    )
    if row.note:
        right = {"xref": "paper", "x": 1, "xanchor": "right", "yanchor": "middle"}
        figure.add_annotation(text=escape(row.note), y=y, showarrow=False, font=_SMALL, **right)
