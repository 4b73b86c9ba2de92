"""Six properties of a scorecard at a glance.

A radar's area means nothing and its neighbours are arbitrary, so it draws only what can be counted,
the share of a property's thresholds that are cleared, and the page's table stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from viz.figures.marks import DASHES, HOVER, finish
from viz.text import escape
from viz.theme import COLOURWAY, fade

_SYMBOLS = ("circle", "diamond", "square")


@dataclass(frozen=True)
class Cleared:
    """How many of a property's thresholds are cleared, of those that apply."""

    name: str
    passed: int
    of: int

    @property
    def share(self) -> float | None:
        return self.passed / self.of if self.of else None


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
    return finish(
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
        theta=[escape(c.name) for c in around],
        mode="lines+markers",
        name=escape(name),
        line={"color": shade, "width": 2, "dash": DASHES[index]},
        marker={"color": shade, "size": 8, "symbol": _SYMBOLS[index]},
        fill="toself" if all(c.of for c in scores) else "none",
        fillcolor=fade(shade, 0.12),
        text=[f"<b>{escape(c.name)}</b><br>{c.passed} of {c.of} cleared" for c in around],
        hovertemplate=HOVER,
    )
