"""Every scanned word as a dot: how far it is from the others, and the words that stand out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from circuits.errors import UserError
from viz.data import with_data
from viz.figures.forest import HOVER
from viz.text import escaped, shortened, visible
from viz.theme import BLUE, GREY, VERMILION, titled

_LABELLED, _NAME = 5, 18
_DRAWN = 2000  # the rest lie on top of each other near 0, and would make the page slow


@dataclass(frozen=True)
class ScanDot:
    """A candidate: its z, what it made the model say, its stage, and whether it raised an alarm."""

    word: str
    z: float
    opening: str
    share: float
    stage: str
    alarm: bool = False


def scan_figure(model: str, dots: Sequence[ScanDot]) -> go.Figure:
    """z of the candidates by rank (log scale), alarms in colour; the best five are named.

    Raises:
        UserError: no candidate.
    """
    if not dots:
        raise UserError("scan: expected at least one candidate, got none; scan some words")
    figure = go.Figure()
    ranked = list(enumerate(dots[:_DRAWN], 1))
    groups = (
        ("alarm", VERMILION, "diamond", [r for r in ranked if r[1].alarm]),
        ("finalist", BLUE, "circle", [r for r in ranked if _late(r[1])]),
        ("other", GREY, "circle", [r for r in ranked if not (r[1].alarm or _late(r[1]))]),
    )
    for name, colour, symbol, rows in groups:
        if rows:
            figure.add_scatter(
                x=[rank for rank, _ in rows],
                y=[dot.z for _, dot in rows],
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9 if name == "alarm" else 6},
                name=name,
                text=[_hover(rank, dot) for rank, dot in rows],
                hovertemplate=HOVER,
            )
    for rank, dot in ranked[:_LABELLED]:
        figure.add_annotation(
            x=_log10(rank),
            y=dot.z,
            text=_name(dot.word),
            showarrow=False,
            xanchor="left",
            xshift=8,
            font={"size": 11},
        )
    drawn = "" if len(dots) <= _DRAWN else f"; the best {_DRAWN} are drawn"
    about = f"{len(dots)} candidates, by stage, then by z{drawn}"
    figure.update_layout(titled(f"Candidates in {escaped(model)}", about, height=420))
    figure.update_xaxes(
        type="log", title_text="rank (log)", range=[-0.1, _log10(len(ranked)) + 0.1]
    )
    figure.update_yaxes(title_text="z among all scanned words")
    header = ["rank", "word", "z", "opening", "share", "stage", "alarm"]
    table = [[i, d.word, d.z, d.opening, d.share, d.stage, d.alarm] for i, d in ranked]
    return with_data(figure, header, table)


def _late(dot: ScanDot) -> bool:
    return dot.stage == "final" and not dot.alarm


def _hover(rank: int, dot: ScanDot) -> str:
    return (
        f"<b>{_name(dot.word)}</b>, rank {rank}<br>z {dot.z:.1f} ({escaped(dot.stage)})<br>"
        f"{dot.share:.0%} to {_name(dot.opening)}"
    )


def _name(text: str) -> str:
    return escaped(shortened(visible(text), _NAME))


def _log10(value: int) -> float:
    return math.log10(value)
