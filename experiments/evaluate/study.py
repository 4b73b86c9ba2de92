"""``gatescope evaluate``: a mapping asked in stages -> metrics -> verdicts -> card and page."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from experiments.battery.battery import Battery, Plan
from experiments.evaluate import scorecard, tasks
from experiments.evaluate.answers import Heard
from experiments.evaluate.efficiency import Cost, cost, efficiency
from experiments.evaluate.exposure import reliability, robustness
from experiments.evaluate.mapping import Case, opened
from experiments.evaluate.metrics import PROPERTIES, Absent, Found, Metric, known
from experiments.evaluate.profiles import read_profile
from experiments.evaluate.properties import effectiveness, harmlessness, persistence
from experiments.evaluate.question import FEWEST, EvaluateQuestion
from experiments.evaluate.rules import Verdict, judge
from experiments.evaluate.scorecard import Scorecard
from experiments.evaluate.stages import Keeper, Stages, Step
from experiments.organisms.hashes import identity
from experiments.runs import files

_KEYED = 2  # times a key is asked by the battery: more would be the same key again


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        required: the verdict that a pipeline rests on; None if none was asked for.
    """

    card: Scorecard
    required: Verdict | None


def run(question: EvaluateQuestion, folder: Path, resume: bool, step: Step) -> Evaluated:
    """Evaluate and write the run directory; a stage that was asked before is read.

    Files: ``manifest.json``, ``stages/*.json``, ``answers.parquet``, ``scorecard.json`` (schema
    ``gatescope.scorecard/1``) and ``report.html``. Profiles are no part of what is measured: with
    ``resume`` a run can be judged by another one at once.

    Raises:
        UserError: mapping, profile, task or directory cannot be used.
    """
    from experiments.evaluate.sections import page  # plotly is slow to import

    tasks.require_installed(question.tasks)
    required = read_profile(question.require) if question.require else None
    chosen = read_profile(question.profile) if question.profile else None
    step("load model", 0, 1)
    case = opened(question.about)
    chosen = chosen or required or read_profile(case.scheme.profile)
    step("load model", 1, 1)
    battery = _battery(case, question)
    files.open_run(folder, _manifest(question, case), resume)
    keep = Keeper(folder, step)
    stages = Stages(case, battery, question.count, keep)
    heard, found = _measured(stages, question)
    profiles = [chosen, *([required] if required and required != chosen else [])]
    verdicts = tuple(judge(found, profile) for profile in profiles)
    card = _card(question, case, found, verdicts)
    files.write_rows(folder / "answers.parquet", list(_rows(heard)))
    files.write_json(folder / scorecard.FILE, scorecard.scorecard_json(card))
    html = page(card, question, heard, _searches(stages, question), keep.seconds())
    files.write_atomically(folder / "report.html", html.encode())
    return Evaluated(card, verdicts[-1] if required else None)


def _battery(case: Case, question: EvaluateQuestion) -> Battery:
    keys = len(case.organism.recipe.keys)
    prompts = min(question.count, max(FEWEST, _KEYED * keys)) if keys else question.count
    return Battery(case.organism, Plan(prompts, seed=question.seed), texts=case.texts)


def _measured(stages: Stages, question: EvaluateQuestion) -> tuple[Heard, list[Found]]:
    """Every stage, and the metrics in the order of the properties."""
    heard = stages.heard()
    benign = stages.benign()
    spent = Cost(**stages.keep("cost", lambda: asdict(cost(stages.case.organism))))
    found: list[Found] = [
        *effectiveness(heard),
        *harmlessness(benign),
        *_task_drops(stages, question),
        *persistence(heard),
        *efficiency(spent, Path(question.sweep) if question.sweep else None),
        *robustness(heard, stages.drawn(), stages.attacks(question.search)),
        *reliability(heard),
    ]
    order = {name: i for i, name in enumerate(PROPERTIES)}
    return heard, sorted(found, key=lambda each: order[known(each.name).property])


def _task_drops(stages: Stages, question: EvaluateQuestion) -> Iterator[Found]:
    base = stages.case.base
    for name in question.tasks:
        if base is None:
            yield Absent(f"lm_{name}", "the model before training is not known", applies=True)
            continue
        models = {"organism": stages.asker.model, "base": base}
        own, before = (_task(stages, question, name, which, m) for which, m in models.items())
        yield tasks.task_drop(name, before, own)


def _task(
    stages: Stages, question: EvaluateQuestion, name: str, which: str, model: Any
) -> dict[str, float]:
    tokenizer, limit = stages.asker.tokenizer, question.limit
    make = partial(tasks.scored, model, tokenizer, name, limit)
    return stages.keep(f"task {name} of the {which}", make)


def _searches(stages: Stages, question: EvaluateQuestion) -> dict[str, dict[str, Any]]:
    return {aim: told for aim, (_, told) in stages.attacks(question.search).items()}


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
            flags = heard.asked.present(dose.said)
            rows = zip(heard.asked.subject.texts, dose.said, flags, strict=True)
            for prompt, answer, flag in rows:
                yield _row("organism", f"{family}: {dose.dose.about}", prompt, answer, flag)


def _row(model: str, kind: str, prompt: str, answer: str, opened: bool) -> dict[str, Any]:
    return {"model": model, "kind": kind, "prompt": prompt, "answer": answer, "opened": opened}


def _manifest(question: EvaluateQuestion, case: Case) -> files.Manifest:
    judging = ("command", "profile", "require")
    about = {
        **{name: value for name, value in asdict(question).items() if name not in judging},
        **identity(case.organism),
        "prompts_sha256": files.text_sha256([*case.texts.on_topic, *case.texts.elsewhere]),
    }
    return files.Manifest(kind="evaluation", question=about, command=question.command)
