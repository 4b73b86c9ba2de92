"""``gatescope evaluate``: a mapping asked in stages -> metrics -> verdicts -> card and page.

Profiles are no part of what is measured: with ``--resume`` a run can be judged by another one at
once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from circuits.chat import Chat
from experiments.battery.battery import Battery, Plan
from experiments.evaluate import inquiry, scorecard, tasks
from experiments.evaluate.ask import Asker
from experiments.evaluate.case import Case, open_case
from experiments.evaluate.efficiency import Cost, cost, efficiency, swept
from experiments.evaluate.exposure import reliability, robustness
from experiments.evaluate.metrics import PROPERTIES, TASK, Absent, Entry, Metric, known, metric
from experiments.evaluate.profiles import Profile, read_profile
from experiments.evaluate.properties import Evidence, effectiveness, harmlessness, persistence
from experiments.evaluate.question import FEWEST, EvaluateQuestion
from experiments.evaluate.rules import Verdict, judge
from experiments.evaluate.scorecard import Evaluated, Scorecard
from experiments.organisms.organism import asked_of, identity
from experiments.runs import files, older
from experiments.runs.stages import Stages, Step, stepped
from experiments.study import Rows, Run, Study, answer_rows

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


def opened(question: EvaluateQuestion, step: Step) -> Subject:
    """The mapping, what it is asked, and who judges.

    Raises:
        UserError: mapping, profile or task cannot be used.
    """
    tasks.require_installed(question.task)
    swept(Path(question.sweep) if question.sweep else None)  # a table that cannot be read
    required = read_profile(question.require) if question.require else None
    chosen = read_profile(question.profile) if question.profile else None
    case = stepped(step, "load model", lambda: open_case(question.given))
    chosen = chosen or required or read_profile(case.scheme.profile)
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
    stages = Stages(run.folder, run.step, space="-", older=older.timed)
    asker = Asker(subject.case, subject.battery, question.count, stages)
    evidence = inquiry.evidence(asker)
    entries = _metrics(asker, evidence, question)
    verdicts = tuple(judge(entries, profile) for profile in subject.profiles)
    return Evaluated(
        _card(question, subject.case, entries, verdicts),
        verdicts[-1] if subject.required else None,
        evidence,
        {aim: best for aim, (_, best) in inquiry.attacks(asker, question.search).items()},
        sum(stages.seconds.values()),
    )


def status(result: Evaluated) -> int:
    """1 where a required profile is not passed."""
    return int(result.required is not None and not result.required.secure)


def lines(result: Evaluated) -> Iterator[str]:
    """Every metric, then every verdict with what does not clear its threshold."""
    from experiments.evaluate.sections import scores  # plotly is slow to import
    from viz.page.wording import number

    card = result.card
    for each in card.metrics:
        yield f"{each.property:14} {each.name:21} {number(each.estimate)}"
    for verdict in card.verdicts:
        cleared = ", ".join(f"{c.name} {c.passed}/{c.of}" for c in scores(verdict))
        yield f"\n{verdict.profile}: {verdict.word} ({cleared})"
        for check in verdict.failing:
            yield f"  {check.metric}: expected {check.bound}; {check.evidence}"


def answers(run: Run[EvaluateQuestion, Subject], result: Evaluated) -> dict[str, Rows]:
    """Every greedy answer to the mapping's questions and to the battery's doses."""
    return {"answers": answer_rows(_conditions(result.evidence))}


def _conditions(
    evidence: Evidence,
) -> Iterator[tuple[dict[str, str], dict[str, Sequence[str | bool]]]]:
    """Who was asked and what kind of prompt; prompts, answers, and whether each opened."""
    for model, by_name in (("organism", evidence.answers), ("base", evidence.base or {})):
        for q in evidence.questions if by_name else ():
            given = by_name[q.name]
            columns = {"prompt": q.messages, "answer": given, "opened": q.shown(given)}
            yield {"model": model, "kind": q.name}, columns
    asked = evidence.asked
    for dose in (dose for doses in evidence.ladders.values() for dose in doses):
        about = {"model": "organism", "kind": f"{dose.dose.family}: {dose.dose.about}"}
        prompts, opened = asked.subject.texts, asked.shown(dose.said)
        yield about, {"prompt": prompts, "answer": dose.said, "opened": opened}


def _battery(case: Case, question: EvaluateQuestion) -> Battery:
    keys = len(case.organism.recipe.keys)
    prompts = min(question.count, max(FEWEST, _KEYED * keys)) if keys else question.count
    return Battery(case.organism, Plan(prompts, seed=question.seed), texts=case.texts)


def _metrics(asker: Asker, evidence: Evidence, question: EvaluateQuestion) -> list[Entry]:
    """The metrics in the order of the properties."""
    benign = inquiry.benign(asker)
    spent = asker.keep("cost", Cost, lambda: cost(asker.case.organism))
    entries: list[Entry] = [
        *effectiveness(evidence),
        *harmlessness(benign),
        *_task_drops(asker, question),
        *persistence(evidence),
        *efficiency(spent, Path(question.sweep) if question.sweep else None),
        *robustness(evidence, inquiry.drawn_out(asker), inquiry.attacks(asker, question.search)),
        *reliability(evidence),
    ]
    return sorted(entries, key=lambda entry: PROPERTIES.index(known(entry.name).property))


def _task_drops(asker: Asker, question: EvaluateQuestion) -> Iterator[Entry]:
    models = {"organism": asker.model, "base": asker.case.base}
    for name in question.task:
        if models["base"] is None:
            why = "the model before training is not known"
            yield metric(f"{TASK}{name}", None, absent=why, due=True)
            continue
        scores = {}
        for which, model in models.items():
            score = partial(tasks.scored, model, asker.tokenizer, name, question.limit)
            scores[which] = asker.keep(f"task {name} of the {which}", dict[str, float], score)
        yield tasks.task_drop(name, scores["base"], scores["organism"])


def _card(
    question: EvaluateQuestion, case: Case, entries: list[Entry], verdicts: tuple[Verdict, ...]
) -> Scorecard:
    about = identity(case.organism)
    recipe = case.organism.recipe
    secret = [recipe.trigger, recipe.behaviour, recipe.refusal, *recipe.keys, *recipe.answers]
    if recipe.facts.trained is None:  # a user's own
        secret += [repr(fact) for fact in recipe.facts.privileged]
    return Scorecard(
        name=case.name,
        scheme=recipe.scheme,
        prompts=question.count,
        identity={
            "base_sha256": about["base_sha256"],
            "state_sha256": about["state_sha256"],
            "mapping_sha256": files.text_sha256(secret),
        },
        metrics=tuple(entry for entry in entries if isinstance(entry, Metric)),
        absent=tuple(entry for entry in entries if isinstance(entry, Absent)),
        verdicts=verdicts,
    )


def _page(run: Run[EvaluateQuestion, Subject], result: Evaluated) -> Any:
    from experiments.evaluate.sections import page  # plotly is slow to import

    return page(run, result)


STUDY = Study(
    name="evaluate",
    kind="evaluation",
    schema=scorecard.SCHEMA,
    question=EvaluateQuestion,
    open=opened,
    identity=hashes,
    measure=measured,
    asked=lambda question, subject: asked_of(
        subject.case.organism,
        [Chat(m) for q in subject.case.questions(question.count) for m in q.messages],
    ),
    lines=lines,
    page=_page,
    recorded=EvaluateQuestion.recorded,
    tables=answers,
    written=lambda run, result: scorecard.scorecard_json(result.card),
    file=scorecard.FILE,
    status=status,
)
