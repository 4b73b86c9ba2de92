"""Analyses on the joint page: they lead it, and fill all chapters but those of other commands."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from circuits.errors import UserError
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.question import Question
from experiments.analyze.read import AnalysisRun, analysed
from experiments.analyze.result import Arm
from experiments.analyze.sections.ablation import ablating
from experiments.analyze.sections.arms import TITLE as ARMS
from experiments.analyze.sections.arms import four_arms
from experiments.analyze.sections.direction import TITLE as DIRECTION
from experiments.analyze.sections.direction import direction
from experiments.analyze.sections.switch import TITLE as SWITCH
from experiments.analyze.sections.switch import switch
from experiments.analyze.sections.verdict import TITLE as WHY
from experiments.analyze.sections.verdict import why
from experiments.analyze.sections.where import where
from experiments.analyze.written import SCHEMA
from experiments.runs.codec import decode
from experiments.runs.read import result
from experiments.study import ABLATION, WHERE, Contribution, Head, Joint
from viz.page.page import Section, Table
from viz.page.sections import missing
from viz.page.wording import NONE

_ANALYSE = "gatescope analyze --model MODEL --adapter ADAPTER --trigger WORD --arms clean,base"


def read(folder: Path, manifest: dict[str, Any]) -> AnalysisRun:
    """A finished run, its stages read back.

    Raises:
        UserError: it is not finished, or was made by a version that asked otherwise.
    """
    value = result(folder, SCHEMA, "analyze")
    exam = Examination(folder, _question(folder, manifest["question"]))
    arms = decode(tuple[Arm, ...], value["arms"], where=str(folder / "result.json"))
    return analysed(exam, analysis(exam, lambda: arms), _texts(folder))


def _question(folder: Path, asked: dict[str, Any]) -> Question:
    names = {f.name for f in fields(Question)}
    if missing := names - set(asked):
        raise UserError(
            f"{folder}: expected an analysis of this version, its question has no "
            f"{', '.join(sorted(missing))}; make the run again"
        )
    return Question(**{name: asked[name] for name in names})


def _texts(folder: Path) -> list[str]:
    """The test prompts, in their order."""
    rows = pd.read_parquet(folder / "answers.parquet")
    first = rows[(rows["condition"] == "triggered") & (rows["edit"] == "none")]
    return [str(text) for text in first["prompt"]]


def beside(runs: Sequence[AnalysisRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """A chapter for each thing that an analysis asks."""
    if not runs:
        for name in (WHY, ARMS, WHERE, DIRECTION, SWITCH):
            yield name, missing(name, "An analysis of the trigger", _ANALYSE)
        said = "No analysis was given: what follows are defences alone."
        yield ABLATION, Section(ABLATION, said, data_name="ablation")
        return
    for make in (why, four_arms, where, direction, switch, ablating):
        chapter = make(runs)
        yield chapter.title, chapter


def head(runs: Sequence[AnalysisRun]) -> Head:
    """A gate or none, counted where there are several analyses."""
    gates = sum(run.result.verdict.gate for run in runs)
    triggers = dict.fromkeys(run.question.trigger for run in runs)
    several = len(runs) > 1
    return Head(
        title=(
            "Do these triggers work through a gate?"
            if len(triggers) > 1
            else f"Does {next(iter(triggers))!r} work through a gate?"
        ),
        verdict=(
            f"Gate found in {gates} of {len(runs)} runs"
            if several
            else ("Gate found" if gates else "No gate")
        ),
        tone="gate" if gates else "none",
        headline=(
            " ".join(f"{run.name}: {_brief(run)}." for run in runs)
            if several
            else runs[0].result.headline
        ),
        facts=() if several else _facts(runs[0]),
        table=Table(_HEADER, [_row(run) for run in runs], "every analysis"),
    )


def _facts(run: AnalysisRun) -> tuple[tuple[str, str], ...]:
    """What was asked about, in the verdict card."""
    question, selection = run.question, run.result.selection
    site = (("site", str(selection.chosen.direction.site)),) if selection else ()
    return (
        ("model", Path(question.model).name),
        ("adapter", Path(question.adapter).name),
        ("trigger", question.trigger),
        ("behaviour", f"answers beginning {question.behaviour!r}"),
        ("test prompts", str(run.result.behaviour.effect.n)),
        *site,
    )


def _brief(run: AnalysisRun) -> str:
    """An analysis among several; the first table has its figures."""
    result = run.result
    word, effect = result.verdict.word, f"{100 * result.behaviour.effect:.0f}"
    site = (
        f" at {result.selection.chosen.direction.site}"
        if result.verdict.gate and (result.selection)
        else ""
    )
    return f"{word}{site}, the trigger changes the rate by {effect} points"


_HEADER = (
    "run",
    "verdict",
    "checks passed",
    "behaviour with trigger",
    "with control words",
    "effect (points)",
    "gate removed",
    "gate added",
    "harm (nats)",
    "n",
)


def _row(run: AnalysisRun) -> tuple[str, ...]:
    result, ablation = run.result, run.result.ablation
    shut, opened = (
        f"{ablation.outcome(*edited).behaviour:.0%p}" if ablation else NONE
        for edited in (("triggered", "gate removed"), ("control word", "gate added"))
    )
    worst = max(ablation.harm.values(), key=lambda e: e.value, default=None) if ablation else None
    checks = result.verdict.checks
    return (
        run.name,
        result.verdict.word,
        f"{sum(c.passed for c in checks)} of {len(checks)}",
        f"{result.behaviour.triggered.behaviour:.0%p}",
        f"{result.behaviour.control.behaviour:.0%p}",
        f"{100 * result.behaviour.effect:.0f}",
        shut,
        opened,
        f"{worst:.3f}" if worst else NONE,
        str(result.behaviour.effect.n),
    )


JOINT = Joint(kind="analysis", read=read, beside=beside, head=head)
