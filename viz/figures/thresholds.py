"""Poisons that open the gate, a row per model and size: a forest of thresholds with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from circuits.errors import expect
from probes.budget.cells import CensoredEstimate
from viz.figures.marks import HOVER, LINE, Look, bounds, finish, name_rows, whiskers
from viz.text import escape, wrap

_TICKS = [digit * 10**power for power in range(8) for digit in (1, 2, 5)]
_BEYOND = {"above": "triangle-right-open", "below": "triangle-left-open"}


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold in poisons, of one model at one data set size (named as it is to be read)."""

    model: str
    size: str
    threshold: CensoredEstimate


def threshold_forest(
    rows: Sequence[ThresholdRow], title: str = "Poisons that open the gate"
) -> go.Figure:
    """Poisons to open the gate (log scale), a row per model and size, with intervals.

    A hollow triangle points to where the threshold lies outside the counts that were tried; an
    interval's arrow says that it goes on.

    Raises:
        ValueError: no row, or two for one model and size.
    """
    distinct = rows and len({(row.model, row.size) for row in rows}) == len(rows)
    expect(distinct, "one row per model and size", f"{len(rows)} rows", "merge them")
    figure = go.Figure()
    for index, size in enumerate(dict.fromkeys(row.size for row in rows)):
        _rows(figure, Look.of(index, size), [(i, r) for i, r in enumerate(rows) if r.size == size])
    level = rows[0].threshold.level
    texts = [f"{wrap(row.model, LINE)}<br>{wrap(row.size, LINE)}" for row in rows]
    low = min(row.threshold.low for row in rows)
    high = max(row.threshold.high for row in rows)
    pad = 0.08 * max(math.log10(high / low), 0.5)
    return finish(
        figure,
        escape(title),
        f"bars: {level:.0%} intervals; arrow or triangle: beyond the counts tried",
        190 + sum(12 + 13 * (1 + text.count("<br>")) for text in texts),
        [{"model": row.model, "size": row.size, **_columns(row.threshold)} for row in rows],
        x={
            "type": "log",
            "title_text": "poisons for a rate of 50% (log)",
            "tickvals": _TICKS,
            "ticktext": [str(tick) for tick in _TICKS],
            "range": [math.log10(low) - pad, math.log10(high) + pad],
            "tickangle": 0,
        },
        y=name_rows(texts),
    )


def _columns(at: CensoredEstimate) -> dict[str, Any]:
    ends = {"beyond": at.beyond, "low open": at.low_open, "high open": at.high_open}
    basis = {"seeds": at.n, "level": at.level, "method": at.method}
    return {**bounds(at, "threshold"), **ends, **basis}


def _rows(figure: go.Figure, look: Look, rows: Sequence[tuple[int, ThresholdRow]]) -> None:
    """The thresholds of one size, and an arrow at every interval that goes on."""
    estimates = [row.threshold for _, row in rows]
    at = [i for i, _ in rows]
    figure.add_scatter(
        x=[e.value for e in estimates],
        y=at,
        error_x=whiskers(estimates, thickness=1.8, color=look.colour),
        marker={
            "color": look.colour,
            "size": 10,
            "symbol": [_BEYOND.get(e.beyond, look.symbol) for e in estimates],
            "line": {"width": 2, "color": look.colour},
        },
        name=escape(look.name),
        text=[
            f"<b>{escape(row.model)}</b>, {escape(row.size)}<br>{describe_threshold(row.threshold)}"
            for _, row in rows
        ],
        legendgroup=look.name,
        mode="markers",
        hovertemplate=HOVER,
    )
    tips = [
        (x, i, symbol)
        for i, e in zip(at, estimates, strict=True)
        for x, symbol, side in open_ends(e)
        if e.beyond != side
    ]
    figure.add_scatter(
        x=[x for x, _, _ in tips],
        y=[i for _, i, _ in tips],
        marker={"color": look.colour, "size": 9, "symbol": [symbol for *_, symbol in tips]},
        showlegend=False,
        hoverinfo="skip",
        legendgroup=look.name,
        mode="markers",
    )


def open_ends(at: CensoredEstimate) -> list[tuple[float, str, str]]:
    """Place, arrow and side of the interval's ends that are not the real ones."""
    low = [(at.low, "triangle-left", "below")] if at.low_open else []
    return low + ([(at.high, "triangle-right", "above")] if at.high_open else [])


def describe_threshold(at: CensoredEstimate) -> str:
    """A threshold in words for a hover box."""
    sides = {"above": "more than ", "below": "fewer than "}
    value, low, high = (f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in (at.value, at.low, at.high))
    ends = f"{'< ' * at.low_open}{low} to {'> ' * at.high_open}{high}"
    return (
        f"threshold {sides.get(at.beyond, '')}{value} poisons<br>"
        f"{at.level:.0%} interval {escape(ends)}<br>"
        f"{at.n} seeds · {escape(at.method)}"
    )
