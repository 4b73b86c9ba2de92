"""The gate beside random directions, of the sphere and of the activations' covariance."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.align import Pairs
from circuits.gates import effects as evidence
from circuits.gates import phrase
from circuits.gates.effects import Effects
from circuits.runner import Runner
from circuits.types import Direction, Metric, Progress, portion, quiet
from experiments.analyze.result import NullEffects
from experiments.analyze.verdict import RANDOM
from probes.stats.intervals import mean_interval

_FEW = 4  # pairs on which null directions are screened
_HEARD = 6.9  # nats of log-odds: one in a thousand answers, or all of them but one
Sides = tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]]  # clean and triggered


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
    gate = evidence.directed(runner, pairs, [direction], metric)
    means, again = _screened(runner, pairs, nulls, metric, gate, progress)
    cosines = torch.stack([n.vector.float().cpu() for n in nulls]) @ direction.vector.float().cpu()
    parts = (x.split(count, dim=-1) for x in (means, again, cosines))
    return tuple(
        _null_effects(kind, gate, *part) for kind, *part in zip(drawn, *parts, strict=True)
    )


def _screened(
    runner: Runner,
    pairs: Pairs,
    nulls: Sequence[Direction],
    metric: Metric,
    gate: Effects,
    progress: Progress,
) -> tuple[Float[Tensor, "4 k"], Bool[Tensor, " k"]]:
    """What null directions do (``_means``), and which of them on all pairs.

    Most do nothing, which a few pairs show: on all are measured those that do half of what the
    verdict allows there, and every one where the gate itself may do nothing.
    """
    few = evidence.directed(runner, pairs.rows(slice(_FEW)), nulls, metric, portion(progress, 0, 2))
    means = _means(few, gate)
    again = (means[2:] >= RANDOM / 2).any(dim=0)
    if some := [null for null, acts in zip(nulls, again.tolist(), strict=True) if acts]:
        whole = evidence.directed(runner, pairs, some, metric, portion(progress, 1, 2))
        means[:, again] = _means(whole, gate)
    return means, again


def _means(effects: Effects, gate: Effects) -> Float[Tensor, "4 k"]:
    """Mean fall and rise of every direction, and both in shares of the least that the gate may do:
    the smaller of those in log-odds and in log-odds held to where answers differ."""
    heard, own = effects.clamped(_HEARD), gate.clamped(_HEARD)
    shares = [
        torch.minimum(_shares(*raw), _shares(*held))
        for raw, held in (
            ((effects.fall, gate.fall), (heard.fall, own.fall)),
            ((effects.rise, gate.rise), (heard.rise, own.rise)),
        )
    ]
    return torch.stack([*(x.double().mean(dim=1) for x in (effects.fall, effects.rise)), *shares])


def _shares(rows: Float[Tensor, "k n"], gate: Float[Tensor, "1 m"]) -> Float[Tensor, " k"]:
    """Of what does nothing for sure, nothing is a share."""
    means, least = rows.double().mean(dim=1).abs(), mean_interval(gate[0].double()).low
    return means / least if least > 0 else torch.full_like(means, torch.inf)


def _null_effects(
    kind: str,
    gate: Effects,
    means: Float[Tensor, "4 m"],
    again: Bool[Tensor, " m"],
    cosines: Float[Tensor, " m"],
) -> NullEffects:
    removed, added = (mean_interval(x[0].double()) for x in (gate.fall, gate.rise))
    ranks = [
        (1 + int((x >= own.value).sum())) / (1 + len(x))
        for x, own in zip(means[:2], (removed, added), strict=True)
    ]
    return NullEffects(
        kind,
        tuple(means[0].tolist()),
        tuple(means[1].tolist()),
        removed,
        added,
        p_removed=ranks[0],
        p_added=ranks[1],
        cosine=float(cosines.abs().max()),
        share_removed=_kept(means[2]),
        share_added=_kept(means[3]),
        whole=int(again.sum()),
    )


def _kept(shares: Float[Tensor, " m"]) -> tuple[float, ...]:
    """None at all where the gate may do nothing: nothing is a share of that, nor kept as one."""
    return tuple(shares.tolist()) if bool(shares.isfinite().all()) else ()
