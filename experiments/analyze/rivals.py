"""The gate's direction beside others at its site, how many it takes, and ways to erase it."""

import torch
from torch import Tensor

from circuits import metrics
from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase
from circuits.gates import effects, select
from circuits.gates.das import align
from circuits.gates.rank import RankCurve, rank_curves
from circuits.patching.suffix import run_pairs
from circuits.types import Direction, Metric, Site
from experiments.analyze.examination import Examination
from experiments.analyze.result import Erasure, Rank, Rival
from experiments.analyze.select import base_activations
from probes.causal.rank import RankNeeded, rank_needed
from probes.linear import paired_svd
from probes.stats.intervals import mean_interval

_MOST = 6  # directions of the rank curve
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search


def first_token(exam: Examination) -> Metric:
    """Probability of the behaviour's first token."""
    return metrics.token_prob([exam.materials.behaviour_id])


def rivals(exam: Examination, direction: Direction) -> tuple[Rival, ...]:
    """Other directions at the site, each added by the trigger's mean shift along it.

    Where the base model's own mean difference does as much as the gate, the direction is how any
    model spells the trigger, and what was learned is that later layers act on it.
    """

    def make() -> tuple[Rival, ...]:
        site = direction.site
        acts = exam.activations_at(site)
        vectors = {"gate": direction.vector}
        base = base_activations(exam)
        if base is not None:
            index = exam.sites().index(site)
            vectors["base model"] = (base["triggered"][index] - base["clean"][index]).mean(dim=0)
        if isinstance(exam.model.runner, TLRunner):
            exam.step("align", 0, 1)
            vectors["aligned"] = align(
                exam.model.runner,
                exam.pairs("fit", _ALIGNED),
                site,
                1,
                [exam.materials.behaviour_id],
                steps=_STEPS,
                start=direction.vector[None],
            ).basis[0]
            exam.step("align", 1, 1)
        directions = [
            select.direction_at(site, v, name, acts["clean"], acts["triggered"])
            for name, v in vectors.items()
        ]
        units = torch.stack([d.vector for d in directions])
        gaps = torch.tensor([d.gap for d in directions])
        changes = effects.effects(
            exam.model.runner, exam.pairs("test"), site, units, gaps, first_token(exam)
        )
        rows = zip(directions, changes.fall.double(), changes.rise.double(), strict=True)
        return tuple(
            Rival(
                d.estimator, float(d.vector @ direction.vector), mean_interval(f), mean_interval(r)
            )
            for d, f, r in rows
        )

    return exam.keep("rivals", tuple[Rival, ...], make)


def erasures(exam: Examination, direction: Direction) -> tuple[Erasure, ...]:
    """The erasure family at the gate's layer, from the trigger on."""

    def make() -> tuple[Erasure, ...]:
        layer, runner = direction.site.layer, exam.model.runner
        clean, triggered = run_pairs(runner, exam.pairs("test"))

        def erased(eraser: erase.Intervention) -> Erasure:
            left, kept = (
                select.resume(runner, side, layer, eraser(side.resid[layer])[None])[0]
                for side in (triggered, clean)
            )
            kl = metrics.kl_per_position(clean.logits, kept)[:, -1].cpu()
            shown = first_token(exam)(left).cpu()
            return Erasure(eraser.name, mean_interval(shown.double()), mean_interval(kl.double()))

        return tuple(map(erased, _erasers(exam, direction)))

    return exam.keep("erasures", tuple[Erasure, ...], make)


def _erasers(exam: Examination, direction: Direction) -> list[erase.Intervention]:
    acts = exam.activations_at(direction.site)
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


def rank(exam: Examination, site: Site) -> Rank:
    """How many directions it takes at the gate's site, mean difference first."""

    def make() -> dict[str, Tensor]:
        basis = ordered_basis(**exam.activations_at(site))
        curve = rank_curves(
            exam.model.runner, exam.pairs("test"), site, basis, first_token(exam), remove_to="zero"
        ).removed
        return {"values": curve.values, "base": curve.base, "source": curve.source}

    curve = RankCurve("removed", site, **exam.keep("rank", dict[str, Tensor], make))
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
