"""How many poisons open a gate: rates by count with their fits.

Counts are drawn on a logarithmic axis, on which runs without poisons have no place: they stand
apart, left of a dotted line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from circuits.errors import expect
from probes.budget.cells import Cells, CensoredEstimate, ThresholdFit
from probes.stats.intervals import wilson
from viz.figures.marks import (
    DOTTED,
    HOVER,
    UNSEEN,
    Look,
    band,
    bounds,
    finish,
    keep_apart,
    shares,
    source,
)
from viz.figures.thresholds import describe_threshold, open_ends
from viz.text import escape
from viz.theme import fade

_GAP, _DODGE, _LIFT = 0.12, 0.012, 4.0  # shares of the axis; points of per cent
_LABELS = 7  # counts that a phone's axis has room for


@dataclass(frozen=True)
class BudgetSeries:
    """The cells of one data set size (or model) and the fit to them; None draws no curve."""

    name: str
    cells: Cells
    fit: ThresholdFit | None = None


def rate_by_count(
    series: Sequence[BudgetSeries],
    title: str = "Behaviour rate by number of poisons",
    answers: str = "answers showing the behaviour",
) -> go.Figure:
    """Rate of an outcome (%) by poisons: all seeds with Wilson intervals, each seed faintly.

    A line with its band is the fitted logistic. A diamond at half of the answers is its threshold,
    with its interval; several are moved apart in height. A triangle is an end that lies outside
    the counts that were tried.

    Raises:
        ValueError: no series, two of one name, or no count above 0.
    """
    names = [one.name for one in series]
    counts = sorted({int(c) for one in series for c in one.cells.count.tolist()})
    distinct = names and len(set(names)) == len(names) and counts[-1] > 0
    expect(distinct, "series of different names with poisons", names, "name each")
    axis = _Axis(math.log10(min(c for c in counts if c)), math.log10(counts[-1]))
    figure, rows = go.Figure(), []
    looks = [Look.of(index, name) for index, name in enumerate(names)]
    places = [index - (len(series) - 1) / 2 for index in range(len(series))]
    for one, look, place in zip(series, looks, places, strict=True):
        if one.fit is not None:
            _curve(figure, one.fit, axis, look)
        rows += _points(figure, one.cells, axis, look, place * _DODGE * axis.width)
    for one, look, place in zip(series, looks, places, strict=True):  # above every point
        if one.fit is not None:
            diamond = replace(look, symbol="diamond")
            _threshold(figure, one.fit.threshold, axis, diamond, 50 - _LIFT * place)
    if counts[0] == 0:
        figure.add_vline(x=axis.low - _GAP * axis.width / 2, line=DOTTED)
    # As many labels as have room, 0 and the ends among them.
    positive = keep_apart([c for c in counts if c], axis.width / _LABELS, axis.at)
    shown = [*counts[: counts[0] == 0], *positive]
    return finish(
        figure,
        escape(title),
        "points: all seeds, 95% Wilson; small: each seed; band: 95%; diamond: threshold",
        430,
        rows,
        x={
            "title_text": "poisons in the training data (log scale)",
            "tickvals": [axis.at(c) for c in shown],
            "ticktext": [str(c) for c in shown],
            "range": [axis.at(counts[0]) - 0.05 * axis.width, axis.high + 0.05 * axis.width],
            "tickangle": 0,
        },
        y={"title_text": f"{escape(answers)} (%)", "range": [-3, 104]},
    )


@dataclass(frozen=True)
class _Axis:
    """Positions of counts: log10, and 0 to the left of the smallest."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return max(self.high - self.low, 0.3)

    def at(self, count: float) -> float:
        return math.log10(count) if count > 0 else self.low - _GAP * self.width


def _curve(figure: go.Figure, fit: ThresholdFit, axis: _Axis, look: Look) -> None:
    x = [axis.at(count) for count in fit.curve.count]
    rate, low, high = (
        [100 * r for r in curve] for curve in (fit.curve.rate, fit.curve.low, fit.curve.high)
    )
    band(figure, x, low, high, look.colour, 0.14, legendgroup=look.name)
    line = {"color": look.colour, "width": 2}
    figure.add_scatter(**UNSEEN, x=x, y=rate, line=line, legendgroup=look.name)


def _points(
    figure: go.Figure, cells: Cells, axis: _Axis, look: Look, shift: float
) -> list[dict[str, Any]]:
    """Rates of each seed and of all together; returns the rows of numbers."""
    columns = (part.tolist() for part in (cells.count, cells.seed, cells.shown, cells.n))
    each = sorted(zip(*columns, strict=True))
    common = {"legendgroup": look.name, "mode": "markers", "hovertemplate": HOVER}
    name = escape(look.name)
    figure.add_scatter(
        x=[axis.at(count) + shift for count, *_ in each],
        y=[100 * shown / n for _, _, shown, n in each],
        marker={"color": fade(look.colour, 0.45), "size": 4.5, "symbol": look.symbol},
        showlegend=False,
        text=[
            f"<b>{name}</b>, seed {seed}<br>{count} poisons: {shown} of {n} answers"
            for count, seed, shown, n in each
        ],
        **common,
    )
    totals = {count: [row for row in each if row[0] == count] for count, *_ in each}
    rates = {
        count: wilson(sum(row[2] for row in seeds), sum(row[3] for row in seeds))
        for count, seeds in totals.items()
    }
    figure.add_scatter(
        x=[axis.at(count) + shift for count in rates],
        **shares(list(rates.values()), 3, look.colour),
        marker={"color": look.colour, "size": 8, "symbol": look.symbol},
        name=name,
        text=[
            f"<b>{name}</b>, all seeds<br>{count} poisons: {rate:.1%p}<br>"
            f"{source(rate, ' answers')}"
            for count, rate in rates.items()
        ],
        **common,
    )
    known = [(count, seed, shown, n, None) for count, seed, shown, n in each]
    known += [(count, "all", round(r.value * r.n), r.n, r) for count, r in rates.items()]
    return [
        {
            "series": look.name,
            "poisons": count,
            "seed": seed,
            "shown": shown,
            "n": n,
            **bounds(rate, "rate"),
            **({} if rate else {"rate": shown / n}),
        }
        for count, seed, shown, n, rate in known
    ]


def _threshold(
    figure: go.Figure, at: CensoredEstimate, axis: _Axis, look: Look, height: float
) -> None:
    """The threshold and its interval; a triangle at an end that is not the real one."""
    line = {"color": look.colour, "width": 3}
    ends = [axis.at(at.low), axis.at(at.high)]
    figure.add_scatter(**UNSEEN, x=ends, y=[height] * 2, line=line, legendgroup=look.name)
    marks = [(axis.at(count), symbol) for count, symbol, _ in open_ends(at)]
    marks += [] if at.beyond else [(axis.at(at.value), look.symbol)]
    figure.add_scatter(
        x=[x for x, _ in marks],
        y=[height] * len(marks),
        mode="markers",
        marker={
            "color": look.colour,
            "size": 12,
            "symbol": [symbol for _, symbol in marks],
            "line": {"color": "#ffffff", "width": 1.2},
        },
        legendgroup=look.name,
        showlegend=False,
        text=[f"<b>{escape(look.name)}</b><br>{describe_threshold(at)}"] * len(marks),
        hovertemplate=HOVER,
    )
