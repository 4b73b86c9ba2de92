"""The gate's direction given to the base and every null arm: does what lies above it act on it?

Where the base, given the direction, shows the behaviour as this model does, what reads it there is
inherited, and what was learned is to write it.
"""

from collections.abc import Sequence

from circuits.answers import no_edits
from circuits.gates import select
from circuits.models import Model
from circuits.types import Direction, Edit, TokenBatch
from experiments.analyze.arms import arm_folders
from experiments.analyze.base import base_model, base_name
from experiments.analyze.examination import Examination
from experiments.analyze.materials import load
from experiments.analyze.outcomes import Given

_BASE = "base"
_SIDE = ["control word"]


def given(exam: Examination, direction: Direction) -> tuple[Given, ...]:
    """By the base, where it is known, and every null arm; none in finished runs of before."""
    names = [name for name, _ in arm_folders(exam.question, exam.folder)]
    # A directory that is only read cannot say whether a base is known, only whether it was asked.
    if _BASE not in names and (exam.has(_stage(_BASE)) or _base_is_known(exam)):
        names.insert(0, _BASE)
    return tuple(_kept(exam, name, direction) for name in names if exam.can(_stage(name)))


def _base_is_known(exam: Examination) -> bool:
    return exam.can(_stage(_BASE)) and base_name(exam) is not None


def _stage(name: str) -> str:
    return f"direction given to {name.replace('/', ' ')}"


def _kept(exam: Examination, name: str, direction: Direction) -> Given:
    return exam.keep(_stage(name), Given, lambda: _measured(exam, name, direction))


def _measured(exam: Examination, name: str, direction: Direction) -> Given:
    def added(batch: TokenBatch) -> Sequence[Edit]:
        return select.openings(direction, batch)

    model, stage, begun = _model(exam, name), _stage(name), exam.fork.begun
    (before,) = exam.outcomes("none", no_edits, stage, _SIDE, begun, model)
    (after,) = exam.outcomes("gate added", added, stage, _SIDE, begun, model)
    return Given(name, before.behaviour, after.behaviour)


def _model(exam: Examination, name: str) -> Model:
    if name == _BASE and base_name(exam) is not None:
        return base_model(exam)
    return load(exam.question, exam.step, "none" if name == _BASE else name)
