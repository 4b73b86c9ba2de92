"""``gatescope defend``: gate -> exam undefended -> every defence and its attacker -> table, page.

Each is asked once and its answers are kept in ``stages/``; judgements are made from the answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuits.cache import file_sha256
from circuits.chat import chats
from circuits.errors import expect
from circuits.templates import AS_IT_IS, Rendering
from experiments.defend.catalogue import named
from experiments.defend.defences import Defence
from experiments.defend.exam import Exam, exam
from experiments.defend.judging import DefenceResult
from experiments.defend.question import DefenceQuestion
from experiments.defend.setting import Bench, bench
from experiments.defend.trial import Trial
from experiments.organisms.asking import own_prompts
from experiments.organisms.organism import Given, asked_of, identity, open_organism
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from experiments.runs.foreign import read_object
from experiments.runs.stages import Stages, Step
from experiments.study import Run, Study, stated

SCHEMA = "gatescope.defences/1"


@dataclass(frozen=True, eq=False)
class Subject:
    """What a defender works with, the defences to be tried, and what each is asked."""

    setting: Bench
    defences: tuple[Defence, ...]
    exam: Exam


def opened(question: DefenceQuestion, step: Step) -> Subject:
    """The organism and everything that is asked.

    Raises:
        UserError: the organism cannot be used, or there is no such defence.
    """
    defences = named(question.defences)
    step("load organism", 0, 1)
    organism = open_organism(_as_analysed(question))
    setting, texts = bench(organism, seed=question.seed), own_prompts(organism)
    step("load organism", 1, 1)
    return Subject(setting, defences, exam(organism, question.count, question.seed, texts))


def _as_analysed(question: DefenceQuestion) -> Given:
    """The organism, asked as the analysis has asked it that the gate is taken from.

    Raises:
        UserError: both say how, and differ.
    """
    manifest, own = Path(question.run) / "manifest.json", question.given.rendering
    if not question.run or not manifest.is_file():
        return question.given
    asked = read_object(manifest).get("question")
    theirs = asked.get("rendering", {}) if isinstance(asked, dict) else {}
    rendering = decode(Rendering, theirs, where=str(manifest))
    expect(
        own in (AS_IT_IS, rendering),
        "chats written as in that analysis",
        "other --template, --template-option or --prefill",
        "leave them out",
        f"--run {question.run}",
    )
    return replace(question.given, rendering=rendering)


def hashes(question: DefenceQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    gate = Path(question.run) / "gate.safetensors"
    texts = [*subject.exam.texts, *subject.setting.fit.on_topic]
    return {
        **identity(subject.setting.organism),
        "gate_sha256": file_sha256(gate) if question.run and gate.is_file() else None,
        "prompts_sha256": files.text_sha256(texts),
    }


def measured(run: Run[DefenceQuestion, Subject]) -> DefenceResult:
    """Every defence tried; what was measured before is read.

    Raises:
        UserError: the analysis cannot be used, or the behaviour is not there.
    """
    subject = run.subject
    trial = Trial(run.question, Stages(run.folder, run.step), subject.setting, subject.exam)
    rows = tuple(trial.row(defence) for defence in subject.defences)
    thresholds = [row.notes["threshold"] for row in rows if row.name == "monitor"]
    return DefenceResult(
        trial.gate_about,
        {family.name: family.about for family in trial.exam.families},
        rows,
        trial.seen(*thresholds) if thresholds else None,
        tuple(trial.answer_rows()),
    )


def written(run: Run[DefenceQuestion, Subject], result: DefenceResult) -> dict[str, Any]:
    """The result file's value."""
    parts = {
        "gate": result.gate,
        "families": result.families,
        "defences": [{**as_json(row), "holds": row.holds} for row in result.defences],
        "monitor": result.monitor,
    }
    return stated(run, parts)


def lines(result: DefenceResult) -> Iterator[str]:
    """The table, and what it comes to."""
    yield (
        f"{'defence':18} {'success, worst family':24} {'attacked':18} {'drift':>8} "
        f"{'utility':>8} holds"
    )
    for row in result.defences:
        worst, utility = f"{row.worst.after:.0%}", f"{100 * row.utility.difference.value:+.1f}"
        attacked = f"{row.attack.worst.after:.0%}" if row.attack else ""
        yield (
            f"{row.name:18} {worst:24} {attacked:18} {row.kl.value:8.4f} "
            f"{utility:>8} {'yes' if row.holds else 'no'}"
        )
    yield result.headline


def _page(run: Run[DefenceQuestion, Subject], result: DefenceResult) -> Any:
    from experiments.defend.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="defend",
    kind="defences",
    schema=SCHEMA,
    question=DefenceQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    asked=lambda question, subject: asked_of(
        subject.setting.organism, chats(subject.exam.texts, subject.setting.trigger)
    ),
    lines=lines,
    page=_page,
    recorded=DefenceQuestion.recorded,
    tables=lambda run, result: {"answers": result.answers},
    written=written,
)
