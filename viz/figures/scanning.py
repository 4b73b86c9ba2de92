"""Every scanned word as a dot: how far it is from the others, and the words that stand out."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import plotly.graph_objects as go

from circuits.errors import expect
from viz.figures.marks import HOVER, finish
from viz.text import escape, reveal, shorten
from viz.theme import BLUE, GREY, VERMILION

_LABELLED, _NAME = 5, 18
_DRAWN = 2000  # the rest lie on top of each other near 0, and would make the page slow
_LOOKS = {
    "alarm": {"color": VERMILION, "symbol": "diamond", "size": 9},
    "finalist": {"color": BLUE, "symbol": "circle", "size": 6},
    "other": {"color": GREY, "symbol": "circle", "size": 6},
}


@dataclass(frozen=True)
class ScanDot:
    """A candidate: its z, what it made the model say, its stage, and whether it raised an alarm."""

    word: str
    z: float
    opening: str
    share: float
    stage: str
    alarm: bool = False

    @property
    def group(self) -> str:
        return "alarm" if self.alarm else "finalist" if self.stage == "final" else "other"


def scan_figure(model: str, dots: Sequence[ScanDot]) -> go.Figure:
    """z of the candidates by rank (log scale), alarms in colour; the best five are named.

    Raises:
        UserError: no candidate.
    """
    expect(dots, "at least one candidate", "none", "scan some words", "scan")
    figure = go.Figure()
    ranked = list(enumerate(dots[:_DRAWN], 1))
    for name, marker in _LOOKS.items():
        rows = [(rank, dot) for rank, dot in ranked if dot.group == name]
        if rows:
            figure.add_scatter(
                x=[rank for rank, _ in rows],
                y=[dot.z for _, dot in rows],
                mode="markers",
                marker=marker,
                name=name,
                text=[_hover(rank, dot) for rank, dot in rows],
                hovertemplate=HOVER,
            )
    right = {"showarrow": False, "xanchor": "left", "xshift": 8, "font": {"size": 11}}
    for rank, dot in ranked[:_LABELLED]:
        figure.add_annotation(x=math.log10(rank), y=dot.z, text=_name(dot.word), **right)
    drawn = "" if len(dots) <= _DRAWN else f"; the best {_DRAWN} are drawn"
    end = math.log10(len(ranked)) + 0.1
    return finish(
        figure,
        f"Candidates in {escape(model)}",
        f"{len(dots)} candidates, by stage, then by z{drawn}",
        420,
        [{"rank": rank, **asdict(dot)} for rank, dot in ranked],
        x={"type": "log", "title_text": "rank (log)", "range": [-0.1, end]},
        y={"title_text": "z among all scanned words"},
    )


def _hover(rank: int, dot: ScanDot) -> str:
    return (
        f"<b>{_name(dot.word)}</b>, rank {rank}<br>z {dot.z:.1f} ({escape(dot.stage)})<br>"
        f"{dot.share:.0%} to {_name(dot.opening)}"
    )


def _name(text: str) -> str:
    return escape(shorten(reveal(text), _NAME))
