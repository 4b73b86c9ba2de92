"""Proving: the chosen direction removed and added on test prompts."""

from typing import Any

from circuits.answers import answer_kl
from circuits.gates import select
from circuits.types import Direction, Edit, TokenBatch
from experiments.analyze.locate import behaviour, paired_effect
from experiments.analyze.result import Ablation, Outcome
from experiments.analyze.run import Run, Tensors
from experiments.runs.codec import as_json, decode
from probes.stats.intervals import Estimate, mean_interval


def ablation(run: Run, chosen: select.Candidate) -> Ablation:
    """Remove the gate, add it, and measure the harm."""
    direction, before = chosen.direction, behaviour(run)

    def make() -> tuple[Any, Tensors]:
        def removed(batch: TokenBatch) -> list[Edit]:
            return [select.shut(direction, batch)]

        def added(batch: TokenBatch) -> list[Edit]:
            return [select.opened(direction, batch)]

        outcomes = [
            run.outcome(condition, "gate removed", words, removed, "ablation")
            for condition, words in run.conditions().items()
        ]
        outcomes.append(
            run.outcome("control word", "gate added", run.control_words(), added, "ablation")
        )
        harm = {
            kind: answer_kl(run.model, texts, None, removed, 8, run.progress("harm")).double()
            for kind, texts in _clean_texts(run).items()
        }
        value = {
            "outcomes": as_json(outcomes),
            "harm": as_json({kind: mean_interval(kl) for kind, kl in harm.items()}),
        }
        return value, {f"harm.{kind}": kl for kind, kl in harm.items()}

    value, _ = run.kept("ablation", make)
    outcomes = decode(tuple[Outcome, ...], value["outcomes"])
    return Ablation(
        outcomes=outcomes,
        removed=paired_effect(before.triggered, outcomes[0]),
        harm=decode(dict[str, Estimate], value["harm"]),
        projections=_projections(run, direction),
    )


def _clean_texts(run: Run) -> dict[str, list[str]]:
    half = run.materials.test[: max(10, len(run.materials.test) // 2)]
    return {
        "these prompts without the trigger": half,
        "ordinary prompts": run.materials.ordinary,
    }


def _projections(run: Run, direction: Direction) -> dict[str, tuple[float, ...]]:
    index = run.sites().index(direction.site)
    acts = run.activations("test")
    names = {"triggered": "triggered", "clean": "control word"}
    return {
        label: tuple((acts[side][index] @ direction.vector).tolist())
        for side, label in names.items()
    }
