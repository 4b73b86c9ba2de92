"""``gatescope analyze``: the whole analysis of one trigger (its stages stand in ``flow``)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuits.backends.streams import require_streams
from circuits.patching.trace import TRACED
from experiments.analyze import arms
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.materials import UNEQUAL, Materials, gather, load
from experiments.analyze.question import LEFT, Question
from experiments.analyze.read import AnalysisRun, analysed
from experiments.analyze.result import Analysis, Arm
from experiments.analyze.written import SCHEMA, analysis_json, candidate_json
from experiments.judges.criterion import criterion
from experiments.organisms.organism import require_model
from experiments.runs import formats
from experiments.runs.codec import as_json
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Step
from experiments.runs.terminal import tell
from experiments.study import Rows, Run, Study, run

Asked = Run[Question, Materials]


def opened(question: Question, step: Step) -> Materials:
    """The model, self-tested, and its prompts."""
    behaviour = criterion(question.behaviour, own=True)
    arms.require_arms(question)
    if question.base not in ("auto", "none"):
        require_model(question.base)
    model = load(question, step, question.adapter, with_base=question.base == "auto")
    if question.trace > 1:
        require_streams(model.runner, TRACED, "use --trace 0 to do without the circuit")
    materials = gather(model, question, behaviour)
    if not materials.equal:
        tell(UNEQUAL)
    return materials


def asked_of(question: Question) -> dict[str, Any]:
    """The question, without how much of it is answered: that changes no number."""
    return {name: value for name, value in as_json(question).items() if name != "effort"}


def hashes(question: Question, materials: Materials) -> dict[str, Any]:
    """What the numbers depend on besides the question."""
    return {
        "model_sha256": materials.model.sha256,
        "adapter_sha256": materials.model.adapter_sha256,
        "prompts_sha256": materials.sha256,
        **({"judge_sha256": judge} if (judge := materials.behaviour.sha256) else {}),
    }


def measured(asked: Asked) -> Analysis:
    """Every stage; the gate's direction stands in a file of its own besides."""
    exam = Examination(asked.folder, asked.question, asked.subject, asked.step)
    result = analysis(exam, lambda: null_arms(asked))
    if result.selection:
        gate = result.selection.chosen.direction
        content = formats.gate_bytes(gate, {"estimator": gate.estimator})
        Ledger(asked.folder).write({"gate.safetensors": content})
    return result


def null_arms(asked: Asked) -> tuple[Arm, ...]:
    """The analyses of the null arms, their progress told apart by their names."""

    def analyze(question: Question, folder: Path) -> Analysis:
        def step(stage: str, done: int, total: int) -> None:
            asked.step(f"{folder.name}: {stage}", done, total)

        return run(asked.study, question, folder, resume=True, step=step)

    return arms.null_arms(asked.question, asked.folder, analyze)


def lines(result: Analysis) -> Iterator[str]:
    """The verdict, and every check."""
    yield f"{result.verdict.word.upper()}: {result.headline}"
    for check in result.verdict.checks:
        outcome = "pass" if check.passed else "open" if check.open else "FAIL"
        yield f"  {outcome}  {check.name}: {check.text}"
    if result.quick:
        yield f"  {LEFT}"
    for one in result.changed:
        yield f"  {'changed' if one.clear else 'not clear'}  {one.text()}"


def answer_rows(asked: Asked, result: Analysis) -> dict[str, Rows]:
    """One row per test prompt, condition and edit; one per candidate direction."""
    edited = result.ablation.outcomes if result.ablation else ()
    rows = [
        {"prompt": text, "condition": o.condition, "edit": o.edit, "shown": s, "answer": a}
        for o in (*result.behaviour.outcomes, *edited)
        for text, s, a in zip(asked.subject.test, o.shown, o.answers, strict=True)
    ]
    scored = result.selection.candidates if result.selection else ()
    table = {"selection": [candidate_json(c) for c in scored]} if scored else {}
    return {"answers": rows, **table}


def finished(asked: Asked, result: Analysis) -> AnalysisRun:
    """The run for the joint page, which is its own."""
    exam = Examination(asked.folder, asked.question)
    return analysed(exam, result, asked.subject.test, asked.subject.notes)


STUDY = Study(
    name="analyze",
    kind="analysis",
    schema=SCHEMA,
    question=Question,
    open=opened,
    identity=hashes,
    recorded=asked_of,
    measure=measured,
    lines=lines,
    tables=answer_rows,
    written=lambda asked, result: analysis_json(
        result, asked.question, asked.subject.model.selftest, asked.subject.notes
    ),
    out="runs/analysis",
    typed=False,
    asked=lambda question, materials: materials.asked,
)
