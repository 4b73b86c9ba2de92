"""An analysis with all that its sections show: the result, the arms' rates, the gate's plane."""

from dataclasses import dataclass
from pathlib import Path

from experiments.analyze.arms import arm_names
from experiments.analyze.examination import Examination
from experiments.analyze.plane import OWN, Plane, plane
from experiments.analyze.question import Question
from experiments.analyze.result import Analysis
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.study import Finished
from probes.stats.intervals import Estimate


@dataclass(frozen=True, eq=False)
class AnalysisRun(Finished[Analysis]):
    """One analysis of a report.

    Attributes:
        texts: the test prompts.
        rates: arm -> condition -> rate of the behaviour before any edit, this model first.
        plane: None where there is no gate's direction, or no activations were kept.
    """

    question: Question
    texts: tuple[str, ...]
    rates: dict[str, dict[str, Estimate]]
    plane: Plane | None


def analysed(run: Examination, result: Analysis, texts: list[str]) -> AnalysisRun:
    """The parts of a run's directory that its result does not hold, put beside it."""
    own = {o.condition: o.behaviour for o in result.behaviour.outcomes}
    direction = result.selection.chosen.direction if result.selection else None
    return AnalysisRun(
        name=named(run.question),
        folder=str(run.folder),
        question=run.question,
        result=result,
        manifest=files.read_json(run.folder / "manifest.json"),
        texts=tuple(texts),
        rates={OWN: own, **_arms(run)},
        plane=plane(run, direction) if direction else None,
    )


def named(question: Question) -> str:
    """The adapter, or the model where there is none."""
    whole = question.adapter == "none"
    return Path(question.model if whole else question.adapter).name


def _arms(run: Examination) -> dict[str, dict[str, Estimate]]:
    """The rates of every arm that was analysed to the end."""
    found = {}
    for name in arm_names(run.question):
        path = run.folder / "arms" / Path(name).name / "result.json"
        if path.is_file():
            outcomes = files.read_json(path)["behaviour"]["outcomes"]
            found[name] = {
                o["condition"]: decode(Estimate, o["behaviour"])
                for o in outcomes
                if o["edit"] == "none"
            }
    return found
