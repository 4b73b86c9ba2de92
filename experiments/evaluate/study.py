"""``gatescope evaluate``: a mapping asked in stages -> metrics -> verdicts -> card and page.

Profiles are no part of what is measured: with ``--resume`` a run can be judged by another one at
once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.battery.battery import Battery, Plan
from experiments.evaluate import mapping, scorecard, tasks
from experiments.evaluate.answers import Heard
from experiments.evaluate.efficiency import Cost, cost, efficiency
from experiments.evaluate.exposure import reliability, robustness
from experiments.evaluate.inquiry import Inquiry
from experiments.evaluate.mapping import Case
from experiments.evaluate.metrics import PROPERTIES, Absent, Found, Metric, known
from experiments.evaluate.profiles import Profile, read_profile
from experiments.evaluate.properties import effectiveness, harmlessness, persistence
from experiments.evaluate.question import FEWEST, EvaluateQuestion
from experiments.evaluate.rules import Verdict, judge
from experiments.evaluate.scorecard import Scorecard
from experiments.organisms.organism import identity
from experiments.runs import files
from experiments.runs.stages import Stages, Step
from experiments.study import Rows, Run, Study

if TYPE_CHECKING:
    from viz.page.page import Report

_KEYED = 2  # times a key is asked by the battery: more would be the same key again


@dataclass(frozen=True, eq=False)
class Subject:
    """The mapping, the battery it is asked, and the profiles that judge it.

    Attributes:
        profiles: the verdict's, then the required one where that is another.
        required: whether a pipeline rests on the last of them.
    """

    case: Case
    battery: Battery
    profiles: tuple[Profile, ...]
    required: bool


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        required: the verdict that a pipeline rests on; None if none was asked for.
        searches: what was found, by aim.
        seconds: that all stages took.
    """

    card: Scorecard
    required: Verdict | None
    heard: Heard
    searches: Mapping[str, Mapping[str, Any]]
    seconds: float


def opened(question: EvaluateQuestion, step: Step) -> Subject:
    """The mapping, what it is asked, and who judges.

    Raises:
        UserError: mapping, profile or task cannot be used.
    """
    tasks.require_installed(question.task)
    required = read_profile(question.require) if question.require else None
    chosen = read_profile(question.profile) if question.profile else None
    step("load model", 0, 1)
    case = mapping.opened(question.about)
    chosen = chosen or required or read_profile(case.scheme.profile)
    step("load model", 1, 1)
    profiles = (chosen, *([required] if required and required != chosen else []))
    return Subject(case, _battery(case, question), profiles, required is not None)


def hashes(question: EvaluateQuestion, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    texts = subject.case.texts
    prompts = files.text_sha256([*texts.on_topic, *texts.elsewhere])
    return {**identity(subject.case.organism), "prompts_sha256": prompts}


def measured(run: Run[EvaluateQuestion, Subject]) -> Evaluated:
    """Every stage, the metrics, the verdicts; a stage that was asked before is read."""
    question, subject = run.question, run.subject
    stages = Stages(run.folder, run.step, space="-")
    inquiry = Inquiry(subject.case, subject.battery, question.count, stages)
    heard = inquiry.heard()
    found = _metrics(inquiry, heard, question)
    verdicts = tuple(judge(found, profile) for profile in subject.profiles)
    return Evaluated(
        _card(question, subject.case, found, verdicts),
        verdicts[-1] if subject.required else None,
        heard,
        {aim: best for aim, (_, best) in inquiry.attacks(question.search).items()},
        sum(stages.seconds.values()),
    )


def written(run: Run[EvaluateQuestion, Subject], result: Evaluated) -> dict[str, Any]:
    """The scorecard."""
    return scorecard.scorecard_json(result.card)


def status(result: Evaluated) -> int:
    """1 where a required profile is not passed."""
    return int(result.required is not None and not result.required.secure)


def lines(result: Evaluated) -> Iterator[str]:
    """Every metric, then every verdict with what does not clear its threshold."""
    from experiments.evaluate.sections import scores  # plotly is slow to import
    from viz.page.wording import number

    card = result.card
    for metric in card.metrics:
        yield f"{metric.property:14} {metric.name:21} {number(metric.estimate)}"
    for verdict in card.verdicts:
        word = "secure under this profile" if verdict.secure else "not secure"
        cleared = ", ".join(f"{c.name} {c.passed}/{c.of}" for c in scores(card, verdict))
        yield f"\n{verdict.profile}: {word} ({cleared})"
        for check in verdict.failing:
            yield f"  {check.metric}: expected {check.bound}; {check.evidence}"


def page(run: Run[EvaluateQuestion, Subject], result: Evaluated) -> "Report":
    """The run's own page."""
    from experiments.evaluate.sections import page  # plotly is slow to import

    return page(result.card, result.heard, result.searches, result.seconds, run.command)


def answers(run: Run[EvaluateQuestion, Subject], result: Evaluated) -> dict[str, Rows]:
    """Every greedy answer to the mapping's questions and to the battery's doses."""
    return {"answers": list(_rows(result.heard))}


def _battery(case: Case, question: EvaluateQuestion) -> Battery:
    keys = len(case.organism.recipe.keys)
    prompts = min(question.count, max(FEWEST, _KEYED * keys)) if keys else question.count
    return Battery(case.organism, Plan(prompts, seed=question.seed), texts=case.texts)


def _metrics(inquiry: Inquiry, heard: Heard, question: EvaluateQuestion) -> list[Found]:
    """The metrics in the order of the properties."""
    benign = inquiry.benign()
    spent = inquiry.keep("cost", Cost, lambda: cost(inquiry.case.organism))
    found: list[Found] = [
        *effectiveness(heard),
        *harmlessness(benign),
        *_task_drops(inquiry, question),
        *persistence(heard),
        *efficiency(spent, Path(question.sweep) if question.sweep else None),
        *robustness(heard, inquiry.drawn(), inquiry.attacks(question.search)),
        *reliability(heard),
    ]
    order = {name: i for i, name in enumerate(PROPERTIES)}
    return sorted(found, key=lambda each: order[known(each.name).property])


def _task_drops(inquiry: Inquiry, question: EvaluateQuestion) -> Iterator[Found]:
    base = inquiry.case.base
    for name in question.task:
        if base is None:
            yield Absent(f"lm_{name}", "the model before training is not known", applies=True)
            continue
        models = {"organism": inquiry.asker.model, "base": base}
        own, before = (_task(inquiry, question, name, which, m) for which, m in models.items())
        yield tasks.task_drop(name, before, own)


def _task(
    inquiry: Inquiry, question: EvaluateQuestion, name: str, which: str, model: Any
) -> dict[str, float]:
    tokenizer, limit = inquiry.asker.tokenizer, question.limit
    make = partial(tasks.scored, model, tokenizer, name, limit)
    return inquiry.keep(f"task {name} of the {which}", dict[str, float], make)


def _card(
    question: EvaluateQuestion, case: Case, found: list[Found], verdicts: tuple[Verdict, ...]
) -> Scorecard:
    about = identity(case.organism)
    recipe = case.organism.recipe
    secret = [recipe.trigger, recipe.behaviour, recipe.refusal, *recipe.keys]
    return Scorecard(
        name=case.name,
        scheme=recipe.scheme,
        prompts=question.count,
        identity={
            "base_sha256": about["base_sha256"],
            "state_sha256": about["state_sha256"],
            "mapping_sha256": files.text_sha256(secret),
        },
        metrics=tuple(each for each in found if isinstance(each, Metric)),
        absent=tuple(each for each in found if isinstance(each, Absent)),
        verdicts=verdicts,
    )


def _rows(heard: Heard) -> Iterator[dict[str, Any]]:
    """Every greedy answer to the mapping's questions and to the battery's doses."""
    for model, said in (("organism", heard.said), ("base", heard.base or {})):
        for question in heard.questions:
            if question.name in said:
                flags = question.shown(said[question.name])
                rows = zip(question.messages, said[question.name], flags, strict=True)
                for prompt, answer, flag in rows:
                    yield _row(model, question.name, prompt, answer, flag)
    for family, doses in heard.ladders.items():
        for dose in doses:
            flags = heard.asked.shown(dose.said)
            rows = zip(heard.asked.subject.texts, dose.said, flags, strict=True)
            for prompt, answer, flag in rows:
                yield _row("organism", f"{family}: {dose.dose.about}", prompt, answer, flag)


def _row(model: str, kind: str, prompt: str, answer: str, opened: bool) -> dict[str, Any]:
    return {"model": model, "kind": kind, "prompt": prompt, "answer": answer, "opened": opened}


STUDY = Study(
    name="evaluate",
    kind="evaluation",
    schema=scorecard.SCHEMA,
    question=EvaluateQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    page=page,
    lines=lines,
    recorded=EvaluateQuestion.recorded,
    tables=answers,
    written=written,
    file=scorecard.FILE,
    status=status,
)
