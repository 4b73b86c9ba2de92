"""Proving: the chosen direction removed and added on test prompts, beside every null."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import gate
from circuits.suffix import run_suffix
from circuits.types import Direction, Edit, TokenBatch
from experiments.answers import answer_kl
from experiments.context import Run, Tensors
from experiments.find import behaviour, paired_effect
from experiments.results import Ablation, Outcome
from probes.intervals import Estimate, difference_interval, mean_interval


def ablation(run: Run, chosen: gate.Candidate) -> Ablation:
    """Remove the gate, add it, remove random directions, and measure the harm."""
    direction, before = chosen.direction, behaviour(run)

    def make() -> tuple[Any, Tensors]:
        def removed(batch: TokenBatch) -> list[Edit]:
            return [gate.shut(direction, batch)]

        def added(batch: TokenBatch) -> list[Edit]:
            return [gate.opened(direction, batch)]

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
        hits = first_token_hits(run, direction)
        value = {
            "outcomes": [o.to_json() for o in outcomes],
            "harm": {kind: mean_interval(kl).to_json() for kind, kl in harm.items()},
        }
        tensors = {"hits": hits, **{f"harm.{kind}": kl for kind, kl in harm.items()}}
        return value, tensors

    value, tensors = run.kept("ablation", make)
    outcomes = tuple(Outcome.from_json(o) for o in value["outcomes"])
    plain, with_gate, *randoms = tensors["hits"].double()
    return Ablation(
        outcomes=outcomes,
        removed=paired_effect(before.triggered, outcomes[0]),
        first_token_removed=difference_interval(plain, with_gate),
        random_removed=tuple(float((plain - r).mean().abs()) for r in randoms),
        harm={kind: Estimate.from_json(e) for kind, e in value["harm"].items()},
        projections=_projections(run, direction),
    )


def _clean_texts(run: Run) -> dict[str, list[str]]:
    half = run.materials.test[: max(10, len(run.materials.test) // 2)]
    return {
        "these prompts without the trigger": half,
        "ordinary prompts": run.materials.ordinary,
    }


def first_token_hits(run: Run, direction: Direction) -> Float[Tensor, "variants n"]:
    """Whether the first answer token is the behaviour's, for triggered test prompts.

    Rows: unedited, gate removed, then each random direction removed; all from the trigger on,
    where alone triggered and clean runs differ, so that many nulls cost little.
    """
    pairs = run.pairs("test")
    suffix = run_suffix(run.model.runner, pairs.triggered, pairs.first_difference)
    nulls = gate.random_directions(direction, run.question.randoms, run.question.seed)
    rows = [_hits(run, suffix.logits)]
    for done, d in enumerate([direction, *nulls], 1):
        rows.append(_hits(run, gate.removed_from(run.model.runner, suffix, d)))
        run.step("random directions", done, 1 + len(nulls))
    return torch.stack(rows)


def _hits(run: Run, logits: Tensor) -> Tensor:
    return (logits[:, -1].argmax(dim=-1) == run.materials.behaviour_id).float().cpu()


def _projections(run: Run, direction: Direction) -> dict[str, tuple[float, ...]]:
    index = run.sites().index(direction.site)
    acts = run.activations("test")
    names = {"triggered": "triggered", "clean": "control word"}
    return {
        label: tuple((acts[side][index] @ direction.vector).tolist())
        for side, label in names.items()
    }
