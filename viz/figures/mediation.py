"""The trigger and its compliance token crossed: how many answers comply in every cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from probes.stats.intervals import Estimate
from viz.data import with_data
from viz.text import escaped, interval_text, wrapped
from viz.theme import CONDITION_COLOURS, colour, faded, titled, whiskers

_HOVER = "%{text}<extra></extra>"
_FIRSTS = {
    "natural": "left to the model",
    "forced": "token forced",
    "forbidden": "token forbidden",
}


@dataclass(frozen=True)
class MediationRow:
    """Share of answers that comply with one word, first-token treatment and edit.

    `first` is natural, forced or forbidden; `edit` is "none" where there is none.
    """

    condition: str
    first: str
    edit: str
    rate: Estimate


def mediation_bars(rows: Sequence[MediationRow], token: str) -> go.Figure:
    """Compliance (%) by treatment of the first answer token, bars grouped by word.

    With several edits, each has its own bars: solid where nothing is edited, hollow otherwise.
    Whiskers are the estimates' intervals. `token` is the compliance token's text.

    Raises:
        ValueError: no row, or two for one cell.
    """
    cells = {(r.edit, r.condition, r.first): r.rate for r in rows}
    if not rows or len(cells) != len(rows):
        got = f"{len(rows)} rows for {len(cells)} cells"
        raise ValueError(f"expected one row per word, token and edit, got {got}; drop duplicates")
    firsts = [f for f in _FIRSTS if any(r.first == f for r in rows)]
    firsts += [f for f in dict.fromkeys(r.first for r in rows) if f not in firsts]
    conditions = list(dict.fromkeys(r.condition for r in rows))
    figure = go.Figure()
    for edit in dict.fromkeys(r.edit for r in rows):
        for index, condition in enumerate(conditions):
            found = [(i, f) for i, f in enumerate(firsts) if (edit, condition, f) in cells]
            if found:
                rates = [cells[edit, condition, f] for _, f in found]
                shade = colour(condition, CONDITION_COLOURS, index)
                _bars(figure, condition, edit, shade, found, rates)
    level = rows[0].rate.level
    figure.update_layout(
        titled(
            "Compliance by trigger and first answer token",
            f"token: {wrapped(token.strip(), 24)}; whiskers: {level:.0%} intervals",
            height=430,
        ),
        barmode="group",
        bargap=0.28,
        bargroupgap=0.08,
    )
    figure.update_xaxes(
        title_text="first answer token",
        tickvals=list(range(len(firsts))),
        ticktext=[wrapped(_FIRSTS.get(f, f), 10) for f in firsts],
        ticks="",
        tickangle=0,
    )
    figure.update_yaxes(title_text="answers that comply (%)", range=[0, 104])
    header = ["condition", "first token", "edit", "rate", "low", "high", "n", "level", "method"]
    table = [
        [r.condition, r.first, r.edit, e.value, e.low, e.high, e.n, e.level, e.method]
        for r, e in ((row, row.rate) for row in rows)
    ]
    return with_data(figure, header, table)


def _bars(
    figure: go.Figure,
    condition: str,
    edit: str,
    shade: str,
    found: Sequence[tuple[int, str]],
    rates: Sequence[Estimate],
) -> None:
    """One word's bars under one edit."""
    plain = edit == "none"
    name = condition if plain else f"{condition}, {edit}"
    figure.add_bar(
        x=[i for i, _ in found],
        y=[100 * r.value for r in rates],
        error_y=whiskers(rates),
        name=escaped(name),
        marker={
            "color": shade if plain else faded(shade, 0.12),
            "line": {"color": shade, "width": 1.5},
        },
        text=[
            f"<b>{escaped(condition)}</b>, edit: {escaped(edit)}<br>"
            f"first token {escaped(_FIRSTS.get(f, f))}<br>"
            f"{interval_text(100 * r.value, 100 * r.low, 100 * r.high, 1, '%')} comply<br>"
            f"n = {r.n} · {r.level:.0%} {escaped(r.method or 'interval')}"
            for (_, f), r in zip(found, rates, strict=True)
        ],
        textposition="none",
        hovertemplate=_HOVER,
    )
