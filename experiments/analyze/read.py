"""An analysis with all that its sections show: the result, the arms' rates, the gate's plane."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.analyze.arms import OWN, arm_folders
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.plane import Plane, plane
from experiments.analyze.projections import Projection, projections
from experiments.analyze.question import Question
from experiments.analyze.result import Analysis, Arm
from experiments.analyze.written import SCHEMA
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.runs.read import result
from experiments.study import AS_USUAL, Finished
from probes.stats.intervals import Estimate


@dataclass(frozen=True, eq=False)
class AnalysisRun(Finished[Analysis]):
    """One analysis of a report.

    Attributes:
        texts: the test prompts.
        rates: arm -> condition -> rate of the behaviour before any edit, this model first.
        plane: None where there is no gate's direction, or no activations were kept.
        projections: on what was learned, where it is read, relayed and written.
        notes: what a reader of the figures must know of the model.
    """

    question: Question
    texts: tuple[str, ...]
    rates: dict[str, dict[str, Estimate]]
    plane: Plane | None
    projections: tuple[Projection, ...] = ()
    notes: tuple[str, ...] = ()


def read(folder: Path, manifest: dict[str, Any]) -> AnalysisRun:
    """A finished run, its stages read back.

    Raises:
        UserError: it is not finished, or was made by a version that asked otherwise.
    """
    value = result(folder, SCHEMA, "analyze")
    asked, names = manifest["question"], {field.name for field in fields(Question)}
    names -= AS_USUAL.keys() - set(asked)  # as usual, where it is not said
    if missing := names - set(asked):
        raise UserError(
            f"{folder}: expected an analysis of this version, its question has no "
            f"{', '.join(sorted(missing))}; make the run again"
        )
    exam = Examination(folder, decode(Question, {name: asked[name] for name in names}))
    arms = decode(tuple[Arm, ...], value.get("arms"), where=f"{folder / 'result.json'}, arms")
    rows = exam.ledger.rows("answers.parquet", ("condition", "edit", "prompt"))
    unedited = rows[(rows["condition"] == "triggered") & (rows["edit"] == "none")]
    texts = [str(p) for p in unedited["prompt"]]
    notes = decode(tuple[str, ...], value.get("notes", []), where=str(folder / "result.json"))
    return analysed(exam, analysis(exam, lambda: arms), texts, notes)


def analysed(
    exam: Examination, result: Analysis, texts: Sequence[str], notes: Sequence[str] = ()
) -> AnalysisRun:
    """The parts of a run's directory that its result does not hold, put beside it.

    Args:
        texts: the test prompts, in their order.
        notes: what a reader of the figures must know of the model.
    """
    own = {o.condition: o.behaviour for o in result.behaviour.outcomes}
    selection = result.selection
    adapter, model = exam.question.adapter, exam.question.model
    return AnalysisRun(
        name=Path(model if adapter == "none" else adapter).name,
        folder=str(exam.folder),
        question=exam.question,
        result=result,
        manifest=files.read_manifest(exam.folder),
        texts=tuple(texts),
        rates={OWN: own, **_arms(exam)},
        plane=plane(exam, selection.chosen.direction) if selection else None,
        projections=projections(exam, selection.candidates) if selection else (),
        notes=tuple(notes),
    )


def _arms(exam: Examination) -> dict[str, dict[str, Estimate]]:
    """The rates of every arm that was analysed to the end."""
    return {
        name: {
            o["condition"]: decode(Estimate, o["behaviour"])
            for o in result(place, SCHEMA, "analyze")["behaviour"]["outcomes"]
            if o["edit"] == "none"
        }
        for name, place in arm_folders(exam.question, exam.folder)
        if Ledger(place).lists("result.json")
    }
