"""Six properties as radar and table, and confidentiality, integrity, availability."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.evaluate.scorecard import FILE, Scorecard, differences, read_scorecard
from experiments.evaluate.sections import METRICS, rules, scores
from experiments.evaluate.tables import change_table, metrics_table
from experiments.runs.read import unfinished
from experiments.study import Contribution, Finished, Joint
from viz.figures.radar import property_radar
from viz.page.markup import Table
from viz.page.page import Section
from viz.page.sections import missing
from viz.page.wording import number

TITLE = "Six properties and the verdict on security"
_MOST = 3  # cards that a radar still tells apart
_KEY = ("success", "false_activation", "kl", "fine_tuning")  # metrics shown first
EvaluationRun = Finished[Scorecard]


def read(folder: Path, manifest: dict[str, Any]) -> EvaluationRun:
    """A finished run."""
    if not (folder / FILE).is_file():
        raise unfinished(folder, "evaluate")
    card = read_scorecard(folder)
    return Finished(card.name, str(folder), manifest, card)


def beside(runs: Sequence[EvaluationRun], every: Sequence[Any]) -> list[Contribution]:
    """The chapter of the six properties."""
    return [(TITLE, six(runs))]


def outcome(run: EvaluationRun) -> tuple[str, str]:
    """Secure or not, and the metrics that say most."""
    verdict = run.result.verdicts[0]
    values = {m.name: m.estimate for m in run.result.metrics}
    shown = [f"{name.replace('_', ' ')} {values[name]:.3g}" for name in _KEY if name in values]
    failing = len(verdict.failing)
    word = "secure" if verdict.secure else f"not secure, {failing} thresholds not cleared"
    return f"{word} ({verdict.profile})", "; ".join(shown)


def sentence(run: EvaluationRun) -> str:
    """For the headline."""
    first = run.result.verdicts[0]
    failing = len(first.failing)
    end = "" if first.secure else f" ({failing} thresholds not cleared)"
    word = "secure" if first.secure else "not secure"
    return f"Evaluated, {run.name} is {word} under the profile {first.profile}{end}."


JOINT = Joint("evaluation", read, beside, outcome, sentence)


def six(runs: Sequence[EvaluationRun]) -> Section:
    """One card with its rules, or several beside one another."""
    if not runs:
        return missing(
            TITLE,
            "An evaluation (six properties; confidentiality, integrity, availability)",
            "gatescope evaluate ORGANISM",
        )
    named = {run.name: run.result for run in runs}
    shown = dict(list(named.items())[:_MOST])
    radar = property_radar({name: scores(c, c.verdicts[0]) for name, c in shown.items()})
    note = "" if len(named) <= _MOST else f" It draws the first {_MOST}; the table has all."
    if len(named) == 1:
        card = runs[0].result
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
        return (change_table(differences(first, second), (a, b)),)
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
