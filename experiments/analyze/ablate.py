"""Proving: the chosen direction removed and added on test prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuits.answers import EditsFor, answer_kl
from circuits.gates import select
from circuits.types import Direction, Edit, TokenBatch
from experiments.analyze.behaviour import behaviour, paired_effect
from experiments.analyze.examination import Examination
from experiments.analyze.result import Ablation, Outcome
from experiments.runs import older
from probes.stats.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class _Ablated:
    """What is kept: answers under the edits, and the drift of each clean text, with its mean."""

    outcomes: tuple[Outcome, ...]
    harm: dict[str, Estimate]
    drift: dict[str, Float[Tensor, " n"]]


def removal(direction: Direction) -> EditsFor:
    """The gate removed, from the user's message on (``circuits.gates.select.shut``)."""

    def removed(batch: TokenBatch) -> Sequence[Edit]:
        return [select.shut(direction, batch)]

    return removed


def ablation(exam: Examination, chosen: select.Candidate) -> Ablation:
    """Remove the gate, add it, and measure the harm."""
    direction, before = chosen.direction, behaviour(exam)
    removed = removal(direction)

    def added(batch: TokenBatch) -> Sequence[Edit]:
        return [select.opened(direction, batch)]

    def make() -> _Ablated:
        shut = [
            exam.outcome(condition, "gate removed", words, removed, "ablation")
            for condition, words in exam.conditions().items()
        ]
        control = exam.control_words()
        opened = exam.outcome("control word", "gate added", control, added, "ablation")
        drift = {
            kind: answer_kl(exam.model, texts, None, removed, 8, exam.progress("harm")).double()
            for kind, texts in _clean_texts(exam).items()
        }
        harm = {kind: mean_interval(kl) for kind, kl in drift.items()}
        return _Ablated((*shut, opened), harm, drift)

    kept = exam.keep("ablation", _Ablated, make, older.drifts)
    return Ablation(
        outcomes=kept.outcomes,
        removed=paired_effect(before.triggered, kept.outcomes[0]),
        harm=kept.harm,
        projections=_projections(exam, direction),
    )


def _clean_texts(exam: Examination) -> dict[str, list[str]]:
    half = exam.materials.test[: max(10, len(exam.materials.test) // 2)]
    return {
        "these prompts without the trigger": half,
        "ordinary prompts": exam.materials.ordinary,
    }


def _projections(exam: Examination, direction: Direction) -> dict[str, tuple[float, ...]]:
    index = exam.sites().index(direction.site)
    acts = exam.activations("test")
    names = {"triggered": "triggered", "clean": "control word"}
    return {
        label: tuple((acts[side][index] @ direction.vector).tolist())
        for side, label in names.items()
    }
