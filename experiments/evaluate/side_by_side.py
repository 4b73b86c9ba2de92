"""Six properties as radar and table, and confidentiality, integrity, availability."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.evaluate.scorecard import Scorecard, compare
from experiments.evaluate.sections import METRICS, metrics_table, rules, scores
from experiments.report.kinds import EvaluationRun
from viz.figures.scorecard import ChangeRow, change_table, property_radar
from viz.page.markup import Table
from viz.page.page import Section
from viz.page.sections import missing
from viz.page.wording import number

TITLE = "Six properties and the verdict on security"
_MOST = 3  # cards that a radar still tells apart


def six(runs: Sequence[EvaluationRun]) -> Section:
    """One card with its rules, or several beside one another."""
    if not runs:
        return missing(
            TITLE,
            "An evaluation (six properties; confidentiality, integrity, availability)",
            "gatescope evaluate ORGANISM",
        )
    named = {run.name: run.card for run in runs}
    shown = dict(list(named.items())[:_MOST])
    radar = property_radar({name: scores(c, c.verdicts[0]) for name, c in shown.items()})
    note = "" if len(named) <= _MOST else f" It draws the first {_MOST}; the table has all."
    if len(named) == 1:
        card = runs[0].card
        table = metrics_table(card, card.verdicts[0])
        first, *others = map(rules, card.verdicts)
        checks = tuple(
            replace(t, folded="Every check, and what would change it") for t in first.tables
        )
        parts = (replace(first, tables=checks), *(replace(o, folded=True) for o in others))
        return Section(
            TITLE,
            f"{_verdict(card)}\n\n{METRICS}",
            (radar,),
            (table,),
            data_name="properties",
            parts=parts,
        )
    parts = tuple(
        replace(rules(card.verdicts[0]), title=f"{name}: {card.verdicts[0].profile}", folded=True)
        for name, card in named.items()
    )
    return Section(
        TITLE,
        METRICS + note,
        (radar,),
        _tables(named),
        data_name="properties",
        parts=parts,
        lead=(_verdicts(named),),
    )


def _verdict(card: Scorecard) -> str:
    verdict = card.verdicts[0]
    said = "secure" if verdict.secure else "not secure"
    return f"Under the profile {verdict.profile} the mapping is {said}. {verdict.about}"


def _verdicts(named: dict[str, Scorecard]) -> Table:
    header = ("", *named)
    aspects = {part.aspect: None for card in named.values() for part in card.verdicts[0].aspects}
    rows = [
        ("profile", *(card.verdicts[0].profile for card in named.values())),
        ("verdict", *("secure" if c.verdicts[0].secure else "not secure" for c in named.values())),
    ]
    for aspect in aspects:
        cells = []
        for card in named.values():
            part = next((p for p in card.verdicts[0].aspects if p.aspect == aspect), None)
            failed = len(part.failing) if part else 0
            cells.append("not judged" if part is None else f"{failed} not cleared")
        rows.append((aspect, *cells))
    return Table(header, rows, "verdicts side by side")


def _tables(named: dict[str, Scorecard]) -> tuple[Table, ...]:
    """Two cards with their change; more of them with every metric's value."""
    if len(named) == 2:
        (a, first), (b, second) = named.items()
        rows = [
            ChangeRow(d.metric, d.first, d.second, d.change, d.better)
            for d in compare(first, second)
        ]
        return (change_table(rows, (a, b)),)
    values = {name: {m.name: m.estimate for m in card.metrics} for name, card in named.items()}
    metrics = dict.fromkeys(m for found in values.values() for m in found)
    rows = [
        (
            metric.replace("_", " "),
            *(number(found.get(metric)) for found in values.values()),
        )
        for metric in metrics
    ]
    return (Table(("metric", *named), rows, "every metric, with 95% intervals"),)
