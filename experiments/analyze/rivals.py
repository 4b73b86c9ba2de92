"""The gate's direction beside random ones and rivals at its site; its rank; ways to erase it."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import metrics
from circuits.align import Pairs
from circuits.backends.transformer_lens import TLRunner
from circuits.edits import erase
from circuits.gates import effects as evidence
from circuits.gates import phrase, select
from circuits.gates.das import align
from circuits.gates.effects import Effects
from circuits.gates.rank import RankCurve, rank_curves
from circuits.patching.resume import resume
from circuits.patching.suffix import run_pairs
from circuits.runner import Runner
from circuits.types import Direction, Metric, Progress, Site, quiet
from experiments.analyze.base import base_activations
from experiments.analyze.examination import Examination, Stage, Tensors
from experiments.analyze.result import Erasure, NullEffects, Rank, Rival
from experiments.analyze.select import earlier_activations
from experiments.runs.stages import stepped
from probes.causal.rank import rank_needed
from probes.linear import paired_svd
from probes.stats.intervals import mean_interval

_MOST = 6  # directions of the rank curve
_HEARD = 6.9  # nats of log-odds: one in a thousand answers, or all of them but one
Sides = tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]  # clean and triggered
_ALIGNED, _STEPS = 16, 12  # pairs and steps of the alignment search


def random_nulls(
    runner: Runner,
    pairs: Pairs,
    direction: Direction,
    activations: Sides,
    metric: Metric,
    count: int = 100,
    seed: int = 0,
    progress: Progress = quiet,
    earlier: Sequence[Sides] = (),
) -> tuple[NullEffects, ...]:
    """The gate beside ``count`` directions of the sphere, and of the activations' covariance.

    All are drawn beside the gate: where a model is narrow, others would have a part of it. There
    are none of the latter where nothing else varies. Of a phrase, each has a direction for every
    token, drawn by itself and added as far as the gate's own there.

    Args:
        pairs: test pairs.
        activations: clean and triggered ones at the gate's site, from which the covariance comes.
        earlier: those of a phrase's tokens but the last.

    Raises:
        UserError: the site cannot be resumed.
    """
    own, steps = phrase.basis(direction).float().cpu(), list(reversed(direction.steps))
    width = own.shape[1]

    def beside(sphere: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        return torch.nn.functional.normalize(evidence.without(sphere, own), dim=1)

    seeds = [seed + 2 * back for back in range(len(steps))]  # from the last token on
    drawn = {"sphere": [beside(evidence.sphere_directions(width, count, each)) for each in seeds]}
    sides = [activations, *reversed(earlier)]
    if all(evidence.varies(*each, own) for each in sides):
        drawn["covariance"] = [
            evidence.covariance_directions(*each, count, 1 + at, own)
            for each, at in zip(sides, seeds, strict=True)
        ]
    nulls = [
        phrase.like(direction, torch.stack(units[::-1]), kind)
        for kind, tokens in drawn.items()
        for units in zip(*tokens, strict=True)
    ]
    effects = evidence.directed(runner, pairs, [direction, *nulls], metric, progress)
    units = torch.stack([each.vector.float().cpu() for each in (direction, *nulls)])
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
