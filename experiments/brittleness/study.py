"""``gatescope brittleness``: every ladder asked once and kept -> what is left -> page."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from circuits.errors import UserError
from experiments.battery.battery import Answers, Battery
from experiments.battery.measure import FEWEST, judged
from experiments.battery.subject import unperturbed
from experiments.brittleness.question import BrittlenessQuestion
from experiments.brittleness.result import SCHEMA, Brittleness
from experiments.organisms.asking import own_prompts
from experiments.organisms.organism import asked_of, identity, open_organism
from experiments.runs import files
from experiments.runs.stages import Stages, Step
from experiments.study import Run, Study, answer_rows, stated
from probes.brittleness.retention import Dose

BatteryRun = Run[BrittlenessQuestion, Battery]
_BASELINE = Dose("unperturbed", 1, "nothing changed")


def opened(question: BrittlenessQuestion, step: Step) -> Battery:
    """The battery of an organism.

    Raises:
        UserError: organism or prompts cannot be used.
    """
    organism = open_organism(question.given)
    return Battery(organism, question.plan, texts=own_prompts(organism, question.texts))


def hashes(question: BrittlenessQuestion, battery: Battery) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    prompts = files.text_sha256([*_prompts(battery), *battery.asked.targets])
    return {**identity(battery.organism), "prompts_sha256": prompts}


def measured(run: BatteryRun) -> Brittleness:
    """Every ladder, and what is left; a ladder that was asked before is read.

    Raises:
        UserError: the behaviour is not there.
    """
    battery, name = run.subject, run.question.given.name
    keep = Stages(run.folder, run.step, space="-").keep

    def unchanged() -> list[Answers]:
        return [Answers(_BASELINE, tuple(battery.baseline()))]

    baseline = keep(_BASELINE.family, list[Answers], unchanged)[0].said
    shown = sum(battery.asked.shown(baseline))
    if shown < FEWEST:
        battery.asked.scheme.require_heard(battery.organism.recipe, baseline, ())
        raise UserError(
            f"{name}: expected its behaviour on at least {FEWEST} of {len(baseline)} prompts, got "
            f"it on {shown}; there is nothing to lose"
        )
    ladders = {
        family: keep(family, list[Answers], ladder) for family, ladder in battery.ladders().items()
    }
    retention = judged(battery.asked, baseline, ladders)
    return Brittleness(retention, ladders)


def answers(run: BatteryRun, result: Brittleness) -> dict[str, list[dict[str, Any]]]:
    """Every answer under a dose, beside the unperturbed prompt."""
    asked, prompts = run.subject.asked, _prompts(run.subject)
    conditions = (
        (
            asdict(dose.dose),
            {"prompt": prompts, "answer": dose.said, "present": asked.shown(dose.said)},
        )
        for ladder in result.ladders.values()
        for dose in ladder
    )
    return {"answers": answer_rows(conditions)}


def _prompts(battery: Battery) -> list[str]:
    return [chat.message for chat in unperturbed(battery.asked.subject)]


def lines(result: Brittleness) -> Iterator[str]:
    """What is kept by family, the least first."""
    kept = result.retention
    by_area = sorted(kept.families.items(), key=lambda item: item[1].value)
    for name, rate in (("unperturbed", kept.baseline), *by_area, ("whole battery", kept.area)):
        yield f"{name:17} {rate:6.1%} n={rate.n}"


def _page(run: BatteryRun, result: Brittleness) -> Any:
    from experiments.brittleness.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="brittleness",
    kind="brittleness",
    schema=SCHEMA,
    question=BrittlenessQuestion,
    recorded=BrittlenessQuestion.recorded,
    open=opened,
    identity=hashes,
    measure=measured,
    asked=lambda question, battery: asked_of(battery.organism, unperturbed(battery.asked.subject)),
    lines=lines,
    page=_page,
    tables=answers,
    written=lambda run, result: stated(run, {"retention": result.retention}),
)
