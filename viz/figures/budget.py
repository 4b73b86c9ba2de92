"""How many poisons open a gate: rates by count with their fits.

Counts are drawn on a logarithmic axis, on which runs without poisons have no place: they stand
apart, left of a dotted line.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from probes.budget.cells import Cells, CensoredEstimate, ThresholdFit
from probes.stats.intervals import Estimate, wilson
from viz.data import with_data
from viz.figures.forest import HOVER, SYMBOLS, Look, told
from viz.text import escaped, interval_text
from viz.theme import COLOURWAY, GREY, faded, titled, whiskers

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
    if not names or len(set(names)) < len(names) or counts[-1] == 0:
        raise ValueError(f"expected series of different names with poisons, got {names}; name each")
    axis = _Axis(math.log10(min(c for c in counts if c)), math.log10(counts[-1]))
    figure, rows = go.Figure(), []
    for index, one in enumerate(series):
        place = index - (len(series) - 1) / 2
        look = Look(COLOURWAY[index % len(COLOURWAY)], SYMBOLS[index % len(SYMBOLS)], one.name)
        if one.fit is not None:
            _curve(figure, one.fit, axis, look)
        rows += _points(figure, one.cells, axis, look, place * _DODGE * axis.width)
    for index, one in enumerate(series):  # above every point
        if one.fit is not None:
            place = index - (len(series) - 1) / 2
            look = Look(COLOURWAY[index % len(COLOURWAY)], "diamond", one.name)
            _mark(figure, one.fit.threshold, axis, look, 50 - _LIFT * place)
    if counts[0] == 0:
        figure.add_vline(x=axis.divide, line={"width": 1, "dash": "dot", "color": GREY})
    about = "points: all seeds, 95% Wilson; small: each seed; band: 95%; diamond: threshold"
    figure.update_layout(titled(escaped(title), about, height=430))
    shown = axis.labels(counts)
    figure.update_xaxes(
        title_text="poisons in the training data (log scale)",
        tickvals=[axis.at(c) for c in shown],
        ticktext=[str(c) for c in shown],
        range=[axis.at(counts[0]) - 0.05 * axis.width, axis.high + 0.05 * axis.width],
        tickangle=0,
    )
    figure.update_yaxes(title_text=f"{escaped(answers)} (%)", range=[-3, 104])
    header = ["series", "poisons", "seed", "shown", "n", "rate", "low", "high"]
    return with_data(figure, header, rows)


@dataclass(frozen=True)
class _Axis:
    """Positions of counts: log10, and 0 to the left of the smallest."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return max(self.high - self.low, 0.3)

    @property
    def divide(self) -> float:
        return self.low - _GAP * self.width / 2

    def at(self, count: float) -> float:
        return math.log10(count) if count > 0 else self.low - _GAP * self.width

    def labels(self, counts: Sequence[int]) -> list[int]:
        """As many of the counts as have room, 0 and the ends among them."""
        positive = [c for c in counts if c]
        apart, kept = self.width / _LABELS, [positive[-1]]
        for count in reversed(positive[:-1]):
            if self.at(kept[-1]) - self.at(count) >= apart:
                kept.append(count)
        return [*([0] if counts[0] == 0 else []), *reversed(kept)]


def _curve(figure: go.Figure, fit: ThresholdFit, axis: _Axis, look: Look) -> None:
    x = [axis.at(count) for count in fit.curve.count]
    common = {"legendgroup": look.name, "showlegend": False, "hoverinfo": "skip", "mode": "lines"}
    thin = {"width": 0}
    figure.add_scatter(x=x, y=[100 * r for r in fit.curve.low], line=thin, **common)
    figure.add_scatter(
        x=x,
        y=[100 * r for r in fit.curve.high],
        line=thin,
        fill="tonexty",
        fillcolor=faded(look.colour, 0.14),
        **common,
    )
    line = {"color": look.colour, "width": 2}
    figure.add_scatter(x=x, y=[100 * r for r in fit.curve.rate], line=line, **common)


def _points(
    figure: go.Figure, cells: Cells, axis: _Axis, look: Look, shift: float
) -> list[list[Any]]:
    """Rates of each seed and of all together; returns the rows of numbers."""
    columns = (part.tolist() for part in (cells.count, cells.seed, cells.shown, cells.n))
    each = sorted(zip(*columns, strict=True))
    common = {"legendgroup": look.name, "mode": "markers", "hovertemplate": HOVER}
    name = escaped(look.name)
    figure.add_scatter(
        x=[axis.at(count) + shift for count, *_ in each],
        y=[100 * shown / n for _, _, shown, n in each],
        marker={"color": faded(look.colour, 0.45), "size": 4.5, "symbol": look.symbol},
        showlegend=False,
        text=[
            f"<b>{name}</b>, seed {seed}<br>{count} poisons: {shown} of {n} answers"
            for count, seed, shown, n in each
        ],
        **common,
    )
    counts = sorted({count for count, *_ in each})
    rates = [_pooled([row for row in each if row[0] == count]) for count in counts]
    figure.add_scatter(
        x=[axis.at(count) + shift for count in counts],
        y=[100 * rate.value for rate in rates],
        error_y={**whiskers(rates, 3), "color": look.colour},
        marker={"color": look.colour, "size": 8, "symbol": look.symbol},
        name=name,
        text=[
            f"<b>{name}</b>, all seeds<br>{count} poisons: "
            f"{interval_text(100 * r.value, 100 * r.low, 100 * r.high, 1, '%')}<br>"
            f"n = {r.n} answers · {r.level:.0%} {r.method}"
            for count, r in zip(counts, rates, strict=True)
        ],
        **common,
    )
    rows: list[list[Any]] = [
        [look.name, count, seed, shown, n, shown / n, None, None] for count, seed, shown, n in each
    ]
    rows += [
        [look.name, count, "all", round(r.value * r.n), r.n, r.value, r.low, r.high]
        for count, r in zip(counts, rates, strict=True)
    ]
    return rows


def _pooled(rows: Sequence[Sequence[int]]) -> Estimate:
    return wilson(sum(row[2] for row in rows), sum(row[3] for row in rows))


def _mark(figure: go.Figure, at: CensoredEstimate, axis: _Axis, look: Look, height: float) -> None:
    """The threshold and its interval; a triangle at an end that is not the real one."""
    text = f"<b>{escaped(look.name)}</b><br>{told(at)}"
    low, value, high = (axis.at(count) for count in (at.low, at.value, at.high))
    tips = [(low, "triangle-left", at.low_open), (high, "triangle-right", at.high_open)]
    ends = [(x, symbol) for x, symbol, opened in tips if opened]
    found = [] if at.beyond else [(value, look.symbol)]
    figure.add_scatter(
        x=[low, high],
        y=[height, height],
        mode="lines",
        line={"color": look.colour, "width": 3},
        legendgroup=look.name,
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[x for x, _ in ends + found],
        y=[height] * len(ends + found),
        mode="markers",
        marker={
            "color": look.colour,
            "size": 12,
            "symbol": [symbol for _, symbol in ends + found],
            "line": {"color": "#ffffff", "width": 1.2},
        },
        legendgroup=look.name,
        showlegend=False,
        text=[text] * len(ends + found),
        hovertemplate=HOVER,
    )
