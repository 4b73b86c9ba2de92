"""A scorecard: six properties at a glance, every metric beside its bound, two cards compared.

A radar's area means nothing and its neighbours are arbitrary, so it draws only what can be counted,
the share of a property's thresholds that are cleared, and the table stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from probes.stats.intervals import Estimate
from viz.figures.marks import HOVER, framed
from viz.page.markup import Table
from viz.page.wording import number
from viz.text import escaped
from viz.theme import COLOURWAY, faded

_SYMBOLS = ("circle", "diamond", "square")
_DASHES = ("solid", "dash", "dot")
MARKS = {
    "passed": "✓ cleared",
    "failed": "✗ not cleared",
    "left out": "– does not apply",
    "": "no threshold",
}


@dataclass(frozen=True)
class Cleared:
    """How many of a property's thresholds are cleared, of those that apply."""

    name: str
    passed: int
    of: int

    @property
    def share(self) -> float | None:
        return self.passed / self.of if self.of else None


@dataclass(frozen=True)
class ScoreRow:
    """A metric as it stands in the table; without an estimate, `why` says why.

    `state` is passed, failed, left out, or empty where no threshold is stated.
    """

    property: str
    metric: str
    about: str
    estimate: Estimate | None
    null: Estimate | None
    bound: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class ChangeRow:
    """A metric of two cards, and second minus first."""

    metric: str
    first: Estimate | None
    second: Estimate | None
    change: Estimate | None
    better: str


def property_radar(cards: Mapping[str, Sequence[Cleared]]) -> go.Figure:
    """Share of each property's thresholds that are cleared (%), a closed line for every card.

    A property without a threshold that applies has no point: the line stops beside it.

    Raises:
        UserError: no card, more than three, or cards of different properties.
    """
    names = {tuple(c.name for c in scores) for scores in cards.values()}
    fits = 1 <= len(cards) <= len(_SYMBOLS) and len(names) == 1
    got = f"{len(cards)} of {len(names)} kinds"
    expect(fits, "one to three cards of the same properties", got, of="radar")
    figure, rows = go.Figure(), []
    for index, (name, scores) in enumerate(cards.items()):
        _line(figure, index, name, scores)
        rows += [
            {"card": name, "property": c.name, "cleared": c.passed, "of": c.of, "share": c.share}
            for c in scores
        ]
    ticks = {"range": [0, 100], "tickvals": [0, 50, 100]}
    return framed(
        figure,
        "Six properties",
        "share of each one's thresholds cleared (%)",
        430,
        rows,
        half=True,
        polar={
            "radialaxis": {**ticks, "angle": 90, "tickangle": 90},
            "angularaxis": {"direction": "clockwise", "rotation": 90},
            "bgcolor": "rgba(0,0,0,0)",
            "domain": {"x": [0.1, 0.72], "y": [0, 0.94]},  # room for names on a phone
        },
        showlegend=len(cards) > 1,
    )


def _line(figure: go.Figure, index: int, name: str, scores: Sequence[Cleared]) -> None:
    around = [*scores, scores[0]]
    shade = COLOURWAY[index]
    figure.add_scatterpolar(
        r=[None if c.share is None else 100 * c.share for c in around],
        theta=[escaped(c.name) for c in around],
        mode="lines+markers",
        name=escaped(name),
        line={"color": shade, "width": 2, "dash": _DASHES[index]},
        marker={"color": shade, "size": 8, "symbol": _SYMBOLS[index]},
        fill="toself" if all(c.of for c in scores) else "none",
        fillcolor=faded(shade, 0.12),
        text=[f"<b>{escaped(c.name)}</b><br>{c.passed} of {c.of} cleared" for c in around],
        hovertemplate=HOVER,
    )


def scorecard_table(rows: Sequence[ScoreRow], caption: str) -> Table:
    """Every metric with its interval, n, null, threshold and outcome, or why it has no number."""
    header = ("property", "metric", "value [95%]", "n", "null", "threshold", "outcome")
    cells = [
        (
            row.property,
            _metric(row),
            number(row.estimate),
            str(row.estimate.n) if row.estimate else "",
            number(row.null),
            row.bound,
            MARKS[row.state],
        )
        for row in rows
    ]
    return Table(header, cells, caption)


def _metric(row: ScoreRow) -> str:
    """Name, what it is, and why it has no number."""
    name = row.metric.replace("_", " ") + (f": {row.about}" if row.about else "")
    return f"{name} ({row.why})" if row.why else name


def change_table(rows: Sequence[ChangeRow], names: tuple[str, str]) -> Table:
    """Two cards side by side, the change with its interval, and whether it is told apart from 0."""
    header = ("metric", *names, "second minus first", "second is")
    cells = [
        (
            row.metric.replace("_", " "),
            *(number(e) for e in (row.first, row.second, row.change)),
            row.better,
        )
        for row in rows
    ]
    return Table(header, cells, f"{names[0]} against {names[1]}, with 95% intervals")
