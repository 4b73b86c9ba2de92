"""The gate's direction beside random ones and rivals at its site; its rank; ways to erase it."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import metrics
from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase
from circuits.gates import effects as evidence
from circuits.gates import select
from circuits.gates.das import align
from circuits.gates.effects import Effects
from circuits.gates.rank import RankCurve, rank_curves
from circuits.patching.resume import resume
from circuits.patching.suffix import run_pairs
from circuits.runner import Runner
from circuits.types import Direction, Metric, Progress, Site, TokenPairs, quiet
from experiments.analyze.base import base_activations
from experiments.analyze.examination import Examination, Stage, Tensors
from experiments.analyze.result import Erasure, NullEffects, Rank, Rival
from experiments.analyze.untrained import directed
from experiments.runs.stages import stepped
from probes.causal.rank import rank_needed
from probes.linear import paired_svd
from probes.stats.intervals import mean_interval

_MOST = 6  # directions of the rank curve
_HEARD = 6.9  # nats of log-odds: one in a thousand answers, or all of them but one
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search


def random_nulls(
    runner: Runner,
    pairs: TokenPairs,
    direction: Direction,
    activations: tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]],
    metric: Metric,
    count: int = 100,
    seed: int = 0,
    progress: Progress = quiet,
) -> tuple[NullEffects, ...]:
    """The gate beside ``count`` directions of the sphere, and of the activations' covariance.

    All are drawn beside the gate: where a model is narrow, others would have a part of it. There
    are none of the latter where nothing else varies.

    Args:
        pairs: test pairs.
        activations: clean and triggered ones at the gate's site, from which the covariance comes.

    Raises:
        UserError: the site cannot be resumed.
    """
    own = direction.vector.float().cpu()
    sphere = evidence.sphere_directions(len(own), count, seed)
    beside = sphere - torch.outer(sphere @ own, own)
    drawn = {"sphere": torch.nn.functional.normalize(beside, dim=1)}
    if evidence.varies(*activations, own):
        drawn["covariance"] = evidence.covariance_directions(*activations, count, seed + 1, own)
    units = torch.cat([own[None], *drawn.values()])
    effects = evidence.effects(
        runner, pairs, direction.site, units, direction.gap, metric, progress
    )
    return tuple(
        _null_effects(kind, effects, 1 + i * count, count, units) for i, kind in enumerate(drawn)
    )


def _null_effects(
    kind: str, effects: Effects, start: int, count: int, units: Tensor
) -> NullEffects:
    here = slice(start, start + count)
    fall, rise = effects.fall.double(), effects.rise.double()
    means = [x[here].mean(dim=1).tolist() for x in (fall, rise)]
    gates = [mean_interval(x[0]) for x in (fall, rise)]
    ranks = [
        (1 + sum(v >= g.value for v in values)) / (1 + count)
        for values, g in zip(means, gates, strict=True)
    ]
    heard = effects.clamped(_HEARD)
    shares = [
        _kept(torch.minimum(*(_shares(x, here) for x in each)))
        for each in ((fall, heard.fall.double()), (rise, heard.rise.double()))
    ]
    return NullEffects(
        kind,
        tuple(means[0]),
        tuple(means[1]),
        gates[0],
        gates[1],
        ranks[0],
        ranks[1],
        cosine=float((units[here] @ units[0]).abs().max()),
        share_removed=shares[0],
        share_added=shares[1],
    )


def _kept(shares: Float[Tensor, " m"]) -> tuple[float, ...]:
    """None at all where the gate may do nothing: nothing is a share of that, nor kept as one."""
    return tuple(shares.tolist()) if bool(shares.isfinite().all()) else ()


def _shares(rows: Float[Tensor, "k n"], here: slice) -> Float[Tensor, " m"]:
    """What null directions do, in shares of the least that the gate in row 0 may do.

    None of it where the gate itself may do nothing.
    """
    least = mean_interval(rows[0]).low
    means = rows[here].mean(dim=1).abs()
    return means / least if least > 0 else torch.full_like(means, torch.inf)


@Stage("rivals")
def rivals(exam: Examination, direction: Direction) -> tuple[Rival, ...]:
    """Other directions at the site, each added by the trigger's mean shift along it.

    Where the base model's own mean difference does as much as the gate, the direction is how any
    model spells the trigger, and what was learned is that later layers act on it.
    """
    site, acts = direction.site, exam.activations_at(direction.site)
    vectors = {"gate": direction.vector}
    base = base_activations(exam)
    if base is not None:
        index = exam.sites().index(site)
        own = (base["triggered"][index] - base["clean"][index]).mean(dim=0)
        if float(own.norm()) > 0:  # otherwise the base reads nothing of the trigger there
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
        vectors["aligned"] = stepped(exam.step, "align", aligned).basis[0]
    directions = [
        select.direction_at(site, vector, name, acts["clean"], acts["triggered"])
        for name, vector in vectors.items()
    ]
    fall, rise = directed(exam.model, exam.pairs("test"), directions, exam.prob)
    return tuple(
        Rival(d.estimator, float(d.vector @ direction.vector), mean_interval(f), mean_interval(r))
        for d, f, r in zip(directions, fall, rise, strict=True)
    )


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
