"""Random directions in a gate's place: what any direction of the same size does at the site."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.gates import effects as evidence
from circuits.gates.effects import Effects
from circuits.runner import Runner
from circuits.types import Direction, Metric, Progress, TokenPairs, quiet
from probes.stats.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class NullEffects:
    """The gate beside null directions of one kind.

    Attributes:
        kind: how they were drawn.
        removed, added: every direction's mean effect on the metric (fall, rise).
        gate_removed, gate_added: the gate's own, with intervals over prompts.
        p_removed, p_added: one-sided rank p values, (1 + as large) / (1 + count).
        cosine: the largest absolute cosine of a null direction with the gate.
    """

    kind: str
    removed: tuple[float, ...]
    added: tuple[float, ...]
    gate_removed: Estimate
    gate_added: Estimate
    p_removed: float
    p_added: float
    cosine: float


def random_nulls(
    runner: Runner,
    pairs: TokenPairs,
    direction: Direction,
    activations: tuple[Float[Tensor, "n d"], Float[Tensor, "m d"]],
    metric: Metric,
    count: int = 100,
    seed: int = 0,
    progress: Progress = quiet,
) -> tuple[NullEffects, NullEffects]:
    """The gate beside ``count`` directions of the sphere, and of the activations' covariance.

    Args:
        pairs: test pairs.
        activations: clean and triggered ones at the gate's site, from which the covariance comes.

    Raises:
        UserError: the site cannot be resumed, or the activations do not vary.
    """
    drawn = {
        "sphere": evidence.sphere_directions(len(direction.vector), count, seed),
        "covariance": evidence.covariance_directions(*activations, count, seed + 1),
    }
    units = torch.cat([direction.vector.float()[None].cpu(), *drawn.values()])
    effects = evidence.nulls(runner, pairs, direction, units, metric, progress)
    sphere, covariance = (
        _null_effects(kind, effects, 1 + i * count, units) for i, kind in enumerate(drawn)
    )
    return sphere, covariance


def _null_effects(kind: str, effects: Effects, start: int, units: Tensor) -> NullEffects:
    count = (len(units) - 1) // 2
    here = slice(start, start + count)
    fall, rise = effects.fall.double(), effects.rise.double()
    means = [x[here].mean(dim=1).tolist() for x in (fall, rise)]
    gates = [mean_interval(x[0]) for x in (fall, rise)]
    ranks = [
        (1 + sum(v >= g.value for v in values)) / (1 + count)
        for values, g in zip(means, gates, strict=True)
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
    )
