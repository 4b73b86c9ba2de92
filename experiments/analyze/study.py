"""``gatescope analyze``: the whole analysis of one trigger (its stages stand in ``flow``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.models import Model
from experiments.analyze import arms
from experiments.analyze.beside import JOINT
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.materials import Materials, gather
from experiments.analyze.question import Question
from experiments.analyze.read import AnalysisRun, analysed
from experiments.analyze.result import Analysis, Arm, Outcome
from experiments.analyze.written import SCHEMA, analysis_json
from experiments.organisms.organism import load_model
from experiments.runs import files
from experiments.runs.codec import as_json
from experiments.runs.stages import Step
from experiments.study import Rows, Run, Study, run


@dataclass(frozen=True, eq=False)
class Subject:
    """The model and its prompts."""

    model: Model
    materials: Materials


def opened(question: Question, step: Step) -> Subject:
    """The model, self-tested, and its prompts."""
    step("load model", 0, 1)
    model = load_model(
        question.adapter, question.model, dtype=question.dtype, device=question.device
    )
    return Subject(model, gather(model, question))


def hashes(question: Question, subject: Subject) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    model = subject.model
    return {
        "model_sha256": model.sha256,
        "adapter_sha256": model.adapter_sha256,
        "prompts_sha256": subject.materials.sha256,
    }


def measured(run_: Run[Question, Subject]) -> Analysis:
    """Every stage; the gate's direction stands in a file of its own besides."""
    subject, folder = run_.subject, run_.folder
    exam = Examination(folder, run_.question, subject.model, subject.materials, run_.step)
    result = analysis(exam, lambda: null_arms(run_))
    if result.selection:
        gate = result.selection.chosen.direction
        about = {"site": str(gate.site), "estimator": gate.estimator}
        files.write_tensors(folder / "gate.safetensors", {"direction": gate.vector}, about)
    return result


def null_arms(run_: Run[Question, Subject]) -> tuple[Arm, ...]:
    """The analyses of the null arms, their progress told apart by their names."""

    def ask(question: Question, folder: Path) -> Analysis:
        def step(stage: str, done: int, total: int) -> None:
            run_.step(f"{folder.name}: {stage}", done, total)

        return run(run_.study, question, folder, resume=True, step=step)

    return arms.null_arms(run_.question, run_.folder, ask)


def lines(result: Analysis) -> Iterator[str]:
    """The verdict, and every check."""
    yield f"{result.verdict.word.upper()}: {result.headline}"
    for check in result.verdict.checks:
        yield f"  {'pass' if check.passed else 'FAIL'}  {check.name}: {check.text}"


def answer_rows(run_: Run[Question, Subject], result: Analysis) -> dict[str, Rows]:
    """One row per test prompt, condition and edit."""
    outcomes: tuple[Outcome, ...] = result.behaviour.outcomes
    if result.ablation:
        outcomes += result.ablation.outcomes
    rows = [
        {"prompt": text, "condition": o.condition, "edit": o.edit, "shown": s, "answer": a}
        for o in outcomes
        for text, s, a in zip(run_.subject.materials.test, o.shown, o.answers, strict=True)
    ]
    return {"answers": rows}


def written(run_: Run[Question, Subject], result: Analysis) -> dict[str, Any]:
    """The result file's value."""
    selftest = as_json(run_.subject.model.selftest)
    return analysis_json(result, as_json(run_.question), selftest)


def finished(run_: Run[Question, Subject], result: Analysis) -> AnalysisRun:
    """The run for the joint page, which is its own."""
    exam = Examination(run_.folder, run_.question)
    return analysed(exam, result, run_.subject.materials.test)


STUDY = Study(
    name="analyze",
    kind="analysis",
    schema=SCHEMA,
    question=Question,
    open=opened,
    identity=hashes,
    measure=measured,
    joint=JOINT,
    lines=lines,
    tables=answer_rows,
    written=written,
    out="runs/analysis",
    typed=False,
)
