"""Rates as grouped bars: behaviour under edits; the trigger crossed with its compliance token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from circuits.errors import expect
from probes.causal.mediation import Cell
from probes.stats.intervals import Estimate
from viz.figures.marks import HOVER, columns, finish, shares, source
from viz.text import escape, wrap
from viz.theme import CONDITION_COLOURS, EDIT_COLOURS, colour, fade

_FIRSTS = {
    "natural": "left to the model",
    "forced": "token forced",
    "forbidden": "token forbidden",
}


@dataclass(frozen=True)
class BehaviourRow:
    """How often the behaviour occurs (a share in [0, 1]) in one condition under one edit."""

    condition: str
    edit: str
    rate: Estimate


def behaviour_bars(
    rows: Sequence[BehaviourRow],
    colours: Mapping[str, str] = EDIT_COLOURS,
    group: str = "edit",
) -> go.Figure:
    """Rate of the behaviour (%) per condition, bars grouped by edit, whiskers for the intervals.

    `group` says what the rows' edits are, where they are something else: "arm" compares models.

    Raises:
        ValueError: no row, or two for one condition and edit.
    """
    cells = {(row.condition, row.edit): row.rate for row in rows}
    _once(rows, cells, "condition and edit")
    conditions = dict.fromkeys(row.condition for row in rows)
    figure = go.Figure(layout={"barmode": "group", "bargroupgap": 0.08})
    for index, edit in enumerate(dict.fromkeys(row.edit for row in rows)):
        shade = colour(edit, colours, index)
        rates = {
            place: (rate, f"<b>{escape(c)}</b>, {group}: {escape(edit)}<br>rate {rate:.1%p}")
            for place, c in enumerate(conditions)
            if (rate := cells.get((c, edit)))
        }
        pattern = {"shape": "/" if edit.startswith("random") else "", "solidity": 0.25}
        line = {"color": shade, "width": 1}
        _bars(figure, edit, rates, {"color": shade, "line": line, "pattern": pattern})
    return finish(
        figure,
        f"Behaviour rate by condition and {group}",
        f"whiskers: {rows[0].rate.level:.0%} intervals",
        410,
        [{"condition": r.condition, group: r.edit, **columns(r.rate, "rate")} for r in rows],
        x=_categories("condition", [wrap(c, 12) for c in conditions]),
        y={"title_text": "prompts showing the behaviour (%)", "range": [0, 104]},
        bargap=0.3,
    )


def mediation_bars(cells: Sequence[Cell], token: str) -> go.Figure:
    """Compliance (%) by treatment of the first answer token, bars grouped by word.

    With several edits, each has its own bars: solid where nothing is edited, hollow otherwise.
    Whiskers are the estimates' intervals. `token` is the compliance token's text.

    Raises:
        ValueError: no row, or two for one cell.
    """
    complies = {(c.edit, c.condition, c.first): c.complies for c in cells}
    _once(cells, complies, "word, token and edit")
    given = dict.fromkeys(c.first for c in cells)
    firsts = [f for f in _FIRSTS if f in given] + [f for f in given if f not in _FIRSTS]
    words = {first: _FIRSTS.get(first, first) for first in firsts}
    figure = go.Figure(layout={"barmode": "group", "bargroupgap": 0.08})
    for edit in dict.fromkeys(c.edit for c in cells):
        for index, condition in enumerate(dict.fromkeys(c.condition for c in cells)):
            shade = colour(condition, CONDITION_COLOURS, index)
            head = f"<b>{escape(condition)}</b>, edit: {escape(edit)}<br>first token "
            rates = {
                place: (rate, f"{head}{escape(word)}<br>{rate:.1%p} comply")
                for place, (first, word) in enumerate(words.items())
                if (rate := complies.get((edit, condition, first)))
            }
            name = condition if edit == "none" else f"{condition}, {edit}"
            fill = shade if edit == "none" else fade(shade, 0.12)
            marker = {"color": fill, "line": {"color": shade, "width": 1.5}}
            _bars(figure, name, rates, marker)
    return finish(
        figure,
        "Compliance by trigger and first answer token",
        f"token: {wrap(token.strip(), 24)}; whiskers: {cells[0].complies.level:.0%} intervals",
        430,
        [
            {
                "condition": condition,
                "first token": first,
                "edit": edit,
                **columns(rate, "rate"),
            }
            for (edit, condition, first), rate in complies.items()
        ],
        x=_categories("first answer token", [wrap(word, 10) for word in words.values()]),
        y={"title_text": "answers that comply (%)", "range": [0, 104]},
        bargap=0.28,
    )


def _once(rows: Sequence[Any], cells: Mapping[Any, Estimate], what: str) -> None:
    got = f"{len(rows)} rows for {len(cells)} cells"
    expect(rows and len(cells) == len(rows), f"one row per {what}", got, "drop duplicates")


def _bars(
    figure: go.Figure,
    name: str,
    rates: Mapping[int, tuple[Estimate, str]],
    marker: Mapping[str, Any],
) -> None:
    """A bar for every rate, if there is one, at its category's place, with its hover (escaped)."""
    if rates:
        figure.add_bar(
            x=list(rates),
            **shares([rate for rate, _ in rates.values()]),
            name=escape(name),
            marker=dict(marker),
            text=[f"{hover}<br>{source(rate)}" for rate, hover in rates.values()],
            textposition="none",
            hovertemplate=HOVER,
        )


def _categories(title: str, names: Sequence[str]) -> dict[str, Any]:
    places = list(range(len(names)))
    return {
        "title_text": title,
        "tickvals": places,
        "ticktext": list(names),
        "ticks": "",
        "tickangle": 0,
    }
