"""The gate's direction beside rivals at its site; its rank; ways to erase it."""

from functools import partial

import torch
from torch import Tensor

from circuits import metrics
from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase
from circuits.gates import effects as evidence
from circuits.gates import phrase, select
from circuits.gates.das import align
from circuits.gates.rank import RankCurve, rank_curves
from circuits.patching.resume import resume
from circuits.patching.suffix import run_pairs
from circuits.types import Direction, Site
from experiments.analyze.base import base_activations
from experiments.analyze.examination import Examination, Stage, Tensors
from experiments.analyze.result import Erasure, Rank, Rival
from experiments.analyze.select import earlier_activations
from experiments.runs.stages import stepped
from probes.causal.rank import rank_needed
from probes.linear import paired_svd
from probes.stats.intervals import mean_interval

_MOST = 6  # directions of the rank curve
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search


@Stage("rivals")
def rivals(exam: Examination, direction: Direction) -> tuple[Rival, ...]:
    """Other directions at the site, each added by the trigger's mean shift along it.

    Where the base model's own mean difference does as much as the gate, the direction is how any
    model spells the trigger, and what was learned is that later layers act on it. Of a phrase, each
    is added at every token by the shift there; the aligned one is the same at all of them.
    """
    site = direction.site
    acts = at_tokens(exam, direction, exam.activations("fit"))
    vectors = {"gate": [step.vector for step in direction.steps]}
    base = base_activations(exam)
    if base is not None:
        there = at_tokens(exam, direction, base, of_base=True)
        own = [(each["triggered"] - each["clean"]).mean(dim=0) for each in there]
        if float(own[-1].norm()) > 0:  # otherwise the base reads nothing of the trigger there
            vectors["base model"] = own
    if isinstance(exam.model.runner, TLRunner):
        aligned = partial(
            align,
            exam.model.runner,
            exam.pairs("fit", _ALIGNED),
            site,
            1,
            exam.log_odds if exam.fork.more else [exam.fork.token],
            steps=_STEPS,
            start=direction.vector[None],
        )
        vectors["aligned"] = [stepped(exam.step, "align", aligned).basis[0]] * len(acts)
    directions = [
        phrase.joined(
            [
                select.direction_at(site, vector, name, here["clean"], here["triggered"])
                if vector.any()
                else None
                for vector, here in zip(each, acts, strict=True)
            ]
        )
        for name, each in vectors.items()
    ]
    done = evidence.directed(exam.model.runner, exam.pairs("test"), directions, exam.prob)
    fall, rise = done.fall.double(), done.rise.double()
    return tuple(
        Rival(d.estimator, float(d.vector @ direction.vector), mean_interval(f), mean_interval(r))
        for d, f, r in zip(directions, fall, rise, strict=True)
    )


def at_tokens(
    exam: Examination, direction: Direction, acts: Tensors, of_base: bool = False
) -> list[Tensors]:
    """Activations ``[n, d_model]`` at the direction's layer, of every token that it has a step for.

    Args:
        acts: of the fitting prompts, at all sites.
        of_base: whether they are the base model's.
    """
    site, index = direction.site, exam.sites().index(direction.site)
    own = {side: x[index] for side, x in acts.items()}
    if not direction.earlier:
        return [own]
    earlier = earlier_activations(exam, [site.layer], of_base)
    return [*({side: x[0] for side, x in each.items()} for each in earlier), own]


@Stage("erasures")
def erasures(exam: Examination, direction: Direction) -> tuple[Erasure, ...]:
    """The erasure family at the gate's layer, from the trigger on."""
    layer, runner = direction.site.layer, exam.model.runner
    clean, triggered = run_pairs(runner, exam.pairs("test"))

    def erased(eraser: erase.Intervention) -> Erasure:
        left, kept = (
            resume(runner, side, layer, eraser(side.resid[layer])[None])[0]
            for side in (triggered, clean)
        )
        kl = metrics.kl_per_position(clean.logits[:, :1], kept[:, :1])[:, 0].cpu()
        shown = exam.prob(left).cpu()
        return Erasure(eraser.name, mean_interval(shown.double()), mean_interval(kl.double()))

    return tuple(map(erased, _erasers(exam, direction)))


def _erasers(exam: Examination, direction: Direction) -> list[erase.Intervention]:
    acts = exam.activations_at(direction.site)
    x = torch.cat([acts["clean"], acts["triggered"]])
    y = torch.arange(len(x)) >= len(acts["clean"])
    basis, clean_mean = phrase.basis(direction), acts["clean"].mean(dim=0)
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
    curve = RankCurve("removed", site, **_rank_curve(exam, site))
    try:
        return Rank(curve, rank_needed(curve.values, curve.base, curve.source))
    except ValueError:  # the first token's effect is not clear of zero
        return Rank(curve, None)


@Stage("rank")
def _rank_curve(exam: Examination, site: Site) -> Tensors:
    basis = ordered_basis(**exam.activations_at(site))
    curve = rank_curves(
        exam.model.runner, exam.pairs("test"), site, basis, exam.prob, remove_to="zero"
    ).removed
    return {"values": curve.values, "base": curve.base, "source": curve.source}


def ordered_basis(clean: Tensor, triggered: Tensor) -> Tensor:
    """The mean difference, then what the paired differences have beside it, orthonormal."""
    differences = triggered - clean
    first = torch.nn.functional.normalize(differences.mean(dim=0), dim=0)
    beside = differences - torch.outer(differences @ first, first)
    more = paired_svd(beside[None], min(_MOST - 1, len(beside) - 1))[0].float()
    return torch.linalg.qr(torch.cat([first[None], more]).T).Q.T
