"""The gate's direction beside others at its site, how many it takes, and ways to erase it."""

from typing import Any

import torch
from torch import Tensor

from circuits import metrics
from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase
from circuits.gates import effects as evidence
from circuits.gates import select
from circuits.gates.das import align
from circuits.gates.rank import RankCurve, rank_curves
from circuits.gates.select import resume
from circuits.patching.suffix import run_pairs
from circuits.types import Direction, Metric, Site
from experiments.analyze.run import Run, Tensors
from experiments.analyze.select import base_activations
from experiments.analyze.weighed import Erasure, Rank, Rival
from experiments.runs.codec import as_json, decode
from probes.causal.rank import RankNeeded, rank_needed
from probes.linear import paired_svd
from probes.stats.intervals import mean_interval

_MOST = 6  # directions of the rank curve
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search


def first_token(run: Run) -> Metric:
    """Probability of the behaviour's first token."""
    return metrics.token_prob([run.materials.behaviour_id])


def rivals(run: Run, direction: Direction) -> tuple[Rival, ...]:
    """Other directions at the site, each added by the trigger's mean shift along it.

    Where the base model's own mean difference does as much as the gate, the direction is how any
    model spells the trigger, and what was learned is that later layers act on it.
    """

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(direction.site)
        acts = {side: x[index] for side, x in run.activations("fit").items()}
        found = {"gate": direction.vector}
        base = base_activations(run)
        if base is not None:
            found["base model"] = (base["triggered"][index] - base["clean"][index]).mean(dim=0)
        if isinstance(run.model.runner, TLRunner):
            run.step("align", 0, 1)
            found["aligned"] = align(
                run.model.runner,
                run.pairs("fit", _ALIGNED),
                direction.site,
                1,
                [run.materials.behaviour_id],
                steps=_STEPS,
                start=direction.vector[None],
            ).basis[0]
            run.step("align", 1, 1)
        directions = [
            select.direction_at(direction.site, v, name, acts["clean"], acts["triggered"])
            for name, v in found.items()
        ]
        units = torch.stack([d.vector for d in directions])
        gaps = torch.tensor([d.gap for d in directions])
        effects = evidence.effects(
            run.model.runner, run.pairs("test"), direction.site, units, gaps, first_token(run)
        )
        rows = [
            Rival(
                d.estimator, float(d.vector @ direction.vector), mean_interval(f), mean_interval(r)
            )
            for d, f, r in zip(
                directions, effects.fall.double(), effects.rise.double(), strict=True
            )
        ]
        return as_json(rows), {}

    value, _ = run.kept("rivals", make)
    return decode(tuple[Rival, ...], value)


def erasures(run: Run, direction: Direction) -> tuple[Erasure, ...]:
    """The erasure family at the gate's layer, from the trigger on."""

    def make() -> tuple[Any, Tensors]:
        layer, runner = direction.site.layer, run.model.runner
        clean, triggered = run_pairs(runner, run.pairs("test"))
        rows = []
        for eraser in _erasers(run, direction):
            left, kept = (
                resume(runner, side, layer, eraser(side.resid[layer])[None])[0]
                for side in (triggered, clean)
            )
            kl = metrics.kl_per_position(clean.logits, kept)[:, -1].cpu()
            shown = first_token(run)(left).cpu()
            rows.append(
                Erasure(eraser.name, mean_interval(shown.double()), mean_interval(kl.double()))
            )
        return as_json(rows), {}

    value, _ = run.kept("erasures", make)
    return decode(tuple[Erasure, ...], value)


def _erasers(run: Run, direction: Direction) -> list[erase.Intervention]:
    index = run.sites().index(direction.site)
    acts = {side: x[index] for side, x in run.activations("fit").items()}
    x = torch.cat([acts["clean"], acts["triggered"]])
    y = torch.arange(len(x)) >= len(acts["clean"])
    basis, clean_mean = direction.vector[None], acts["clean"].mean(dim=0)
    return [
        erase.projection(basis),
        erase.mean_ablation(basis, clean_mean),
        erase.leace(x, y).toward(clean_mean),
        erase.mean_difference_erasure(x, y).toward(clean_mean),
        erase.steering(direction.vector, -direction.gap),
        erase.clamping(direction.vector, (direction.clean_mean + direction.triggered_mean) / 2),
    ]


def rank(run: Run, site: Site) -> Rank:
    """How many directions it takes at the gate's site, mean difference first."""

    def make() -> tuple[Any, Tensors]:
        index = run.sites().index(site)
        acts = run.activations("fit")
        basis = ordered_basis(acts["clean"][index], acts["triggered"][index])
        curve = rank_curves(
            run.model.runner, run.pairs("test"), site, basis, first_token(run), remove_to="zero"
        ).removed
        return {}, {"values": curve.values, "base": curve.base, "source": curve.source}

    _, tensors = run.kept("rank", make)
    curve = RankCurve("removed", site, **tensors)
    return Rank(curve, _rank_needed(curve))


def ordered_basis(clean: Tensor, triggered: Tensor) -> Tensor:
    """The mean difference, then what the paired differences have beside it, orthonormal."""
    differences = triggered - clean
    first = torch.nn.functional.normalize(differences.mean(dim=0), dim=0)
    beside = differences - torch.outer(differences @ first, first)
    more = paired_svd(beside[None], min(_MOST - 1, len(beside) - 1))[0].float()
    return torch.linalg.qr(torch.cat([first[None], more]).T).Q.T


def _rank_needed(curve: RankCurve) -> RankNeeded | None:
    try:
        return rank_needed(curve.values, curve.base, curve.source)
    except ValueError:  # the first token's effect is not clear of zero
        return None
