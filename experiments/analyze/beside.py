"""Analyses on the joint page: they lead it, and fill all chapters but those of other commands."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.analyze.read import AnalysisRun, read
from experiments.analyze.sections import ablation, arms, direction, switch, verdict, where
from experiments.judges.criterion import criterion
from experiments.study import ABLATION, WHERE, Contribution, Joint
from viz.page.page import Report, Section, Table, tabulate
from viz.page.sections import missing
from viz.page.wording import NONE

_ANALYSE = "gatescope analyze --model MODEL --adapter ADAPTER --trigger WORD --arms clean,base"


_CHAPTERS: dict[str, Callable[[Sequence[AnalysisRun]], Section]] = {
    verdict.TITLE: verdict.why,
    arms.TITLE: arms.four_arms,
    WHERE: where.where,
    direction.TITLE: direction.direction,
    switch.TITLE: switch.switch,
    ABLATION: ablation.ablating,
}


def beside(runs: Sequence[AnalysisRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """A chapter for each thing that an analysis asks."""
    for title, chapter in _CHAPTERS.items():
        if runs:
            yield title, chapter(runs)
        elif title == ABLATION:
            prose = "No analysis was given: what follows are defences alone."
            yield title, Section(title, prose, data_name="ablation")
        else:
            yield title, missing(title, "An analysis of the trigger", _ANALYSE)


def head(runs: Sequence[AnalysisRun]) -> tuple[Report, Table]:
    """The verdict's word; gates are counted where there are several analyses."""
    gates = sum(run.result.verdict.gate for run in runs)
    first, *others = dict.fromkeys(run.question.trigger for run in runs)
    title = "Do these triggers work" if others else f"Does {first!r} work"
    one = runs[0] if len(runs) == 1 else None
    report = Report(
        title=f"{title} through a gate?",
        verdict=one.result.verdict.word.capitalize()
        if one
        else f"Gate found in {gates} of {len(runs)} runs",
        tone="gate" if gates else "none",
        headline=one.result.headline if one else " ".join(map(_brief, runs)),
        facts=_facts(one) if one else (),
    )
    return report, tabulate(runs, _COLUMNS, "every analysis")


def _facts(run: AnalysisRun) -> tuple[tuple[str, str], ...]:
    """What was asked about, in the verdict card."""
    question, selection = run.question, run.result.selection
    site = (("site", str(selection.chosen.direction.site)),) if selection else ()
    return (
        ("model", Path(question.model).name),
        ("adapter", Path(question.adapter).name),
        ("trigger", question.trigger),
        ("behaviour", criterion(question.behaviour).words),
        ("test prompts", _prompts(run)),
        *site,
    )


def _prompts(run: AnalysisRun) -> str:
    """How many, and of how many templates where those are fewer: ``n`` of the intervals."""
    groups = run.result.behaviour.effect.n
    return f"{len(run.texts)}" + (f", of {groups} templates" if groups < len(run.texts) else "")


def _brief(run: AnalysisRun) -> str:
    """An analysis among several; the first table has its figures."""
    result, selection = run.result, run.result.selection
    site = f" at {selection.chosen.direction.site}" if result.verdict.gate and selection else ""
    effect = f"the trigger changes the rate by {100 * result.behaviour.effect:.0f} points"
    return f"{run.name}: {result.verdict.word}{site}, {effect}."


def _edited(run: AnalysisRun, condition: str, edit: str) -> str:
    ablation = run.result.ablation
    return f"{ablation.outcome(condition, edit).behaviour:.0%p}" if ablation else NONE


def _harm(run: AnalysisRun) -> str:
    """The worse of what removing the gate does to clean inputs."""
    harm = run.result.ablation.harm.values() if run.result.ablation else ()
    worst = max(harm, key=lambda e: e.value, default=None)
    return f"{worst:.3f}" if worst else NONE


def _passed(run: AnalysisRun) -> str:
    checks = run.result.verdict.checks
    return f"{sum(check.passed for check in checks)} of {len(checks)}"


_COLUMNS: dict[str, Callable[[AnalysisRun], str]] = {
    "run": lambda run: run.name,
    "verdict": lambda run: run.result.verdict.word,
    "checks passed": _passed,
    "behaviour with trigger": lambda run: f"{run.result.behaviour.triggered.behaviour:.0%p}",
    "with control words": lambda run: f"{run.result.behaviour.control.behaviour:.0%p}",
    "effect (points)": lambda run: f"{100 * run.result.behaviour.effect:.0f}",
    "gate removed": lambda run: _edited(run, "triggered", "gate removed"),
    "gate added": lambda run: _edited(run, "control word", "gate added"),
    "harm (nats)": _harm,
    "n": lambda run: str(run.result.behaviour.effect.n),
}
JOINT = Joint(kind="analysis", read=read, beside=beside, head=head)
