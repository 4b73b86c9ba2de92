"""Poisons that open the gate, a row per model and size: a forest of thresholds with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from probes.budget.cells import CensoredEstimate
from viz.data import with_data
from viz.text import escaped, wrapped
from viz.theme import COLOURWAY, titled

HOVER = "%{text}<extra></extra>"
SYMBOLS = ("circle", "square", "cross", "star", "hexagon", "x")
_LINE = 18  # characters to a line of a row's name
_TICKS = [digit * 10**power for power in range(8) for digit in (1, 2, 5)]


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold in poisons, of one model at one data set size (named as it is to be read)."""

    model: str
    size: str
    threshold: CensoredEstimate


@dataclass(frozen=True)
class Look:
    colour: str
    symbol: str
    name: str


def threshold_forest(
    rows: Sequence[ThresholdRow], title: str = "Poisons that open the gate"
) -> go.Figure:
    """Poisons to open the gate (log scale), a row per model and size, with intervals.

    A hollow triangle points to where the threshold lies outside the counts that were tried; an
    interval's arrow says that it goes on.

    Raises:
        ValueError: no row, or two for one model and size.
    """
    if not rows or len({(row.model, row.size) for row in rows}) < len(rows):
        raise ValueError(f"expected one row per model and size, got {len(rows)} rows; merge them")
    sizes = list(dict.fromkeys(row.size for row in rows))
    figure = go.Figure()
    for index, size in enumerate(sizes):
        look = Look(COLOURWAY[index % len(COLOURWAY)], SYMBOLS[index % len(SYMBOLS)], size)
        _forest(figure, look, [(i, row) for i, row in enumerate(rows) if row.size == size])
    texts = [f"{wrapped(row.model, _LINE)}<br>{wrapped(row.size, _LINE)}" for row in rows]
    tall = sum(12 + 13 * (1 + text.count("<br>")) for text in texts)
    level = rows[0].threshold.level
    about = f"bars: {level:.0%} intervals; arrow or triangle: beyond the counts tried"
    figure.update_layout(titled(escaped(title), about, height=190 + tall))
    low = min(row.threshold.low for row in rows)
    high = max(row.threshold.high for row in rows)
    pad = 0.08 * max(math.log10(high / low), 0.5)
    figure.update_xaxes(
        type="log",
        title_text="poisons for a rate of 50% (log)",
        tickvals=_TICKS,
        ticktext=[str(tick) for tick in _TICKS],
        range=[math.log10(low) - pad, math.log10(high) + pad],
        tickangle=0,
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=texts,
        range=[len(rows) - 0.4, -0.6],
        showgrid=False,
        ticks="",
    )
    header = [
        "model",
        "size",
        "threshold",
        "low",
        "high",
        "beyond",
        "low open",
        "high open",
        "seeds",
        "level",
        "method",
    ]
    table = [
        [
            r.model,
            r.size,
            e.value,
            e.low,
            e.high,
            e.beyond,
            e.low_open,
            e.high_open,
            e.n,
            e.level,
            e.method,
        ]
        for r, e in ((row, row.threshold) for row in rows)
    ]
    return with_data(figure, header, table)


def _forest(figure: go.Figure, look: Look, rows: Sequence[tuple[int, ThresholdRow]]) -> None:
    estimates = [row.threshold for _, row in rows]
    at = [i for i, _ in rows]
    sides = {"above": "triangle-right-open", "below": "triangle-left-open"}
    common = {"legendgroup": look.name, "mode": "markers", "hovertemplate": HOVER}
    figure.add_scatter(
        x=[e.value for e in estimates],
        y=at,
        error_x={
            "type": "data",
            "array": [e.high - e.value for e in estimates],
            "arrayminus": [e.value - e.low for e in estimates],
            "thickness": 1.8,
            "width": 4,
            "color": look.colour,
        },
        marker={
            "color": look.colour,
            "size": 10,
            "symbol": [sides.get(e.beyond, look.symbol) for e in estimates],
            "line": {"width": 2, "color": look.colour},
        },
        name=escaped(look.name),
        text=[
            f"<b>{escaped(row.model)}</b>, {escaped(row.size)}<br>{told(row.threshold)}"
            for _, row in rows
        ],
        **common,
    )
    tips = [
        (x, i, symbol)
        for i, e in zip(at, estimates, strict=True)
        for x, opened, symbol, side in (
            (e.low, e.low_open, "triangle-left", "below"),
            (e.high, e.high_open, "triangle-right", "above"),
        )
        if opened and e.beyond != side
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


def told(at: CensoredEstimate) -> str:
    """A threshold in words for a hover box."""
    sides = {"above": "more than ", "below": "fewer than "}
    value, low, high = (f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in (at.value, at.low, at.high))
    ends = f"{'< ' * at.low_open}{low} to {'> ' * at.high_open}{high}"
    return (
        f"threshold {sides.get(at.beyond, '')}{value} poisons<br>"
        f"{at.level:.0%} interval {escaped(ends)}<br>"
        f"{at.n} seeds · {escaped(at.method)}"
    )
