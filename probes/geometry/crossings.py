"""How often, where and how fast the behaviour switches on the way from clean to triggered."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.intervals import Estimate, mean_interval, wilson


@dataclass(frozen=True)
class Crossings:
    """How the behaviour's probability goes from clean (0) to triggered (1).

    Attributes:
        count: crossings of 1/2 per pair.
        single: share of the pairs that cross just once (Wilson).
        position: of the first crossing, between 0 and 1, over pairs that cross; None if none does.
        width: part of the way from 10 % to 90 % of the rise, over pairs that begin below 1/2 and
            end above; None if none does. Below the steps' spacing it is not resolved.
        spacing: of the steps.
    """

    count: Estimate
    single: Estimate
    position: Estimate | None
    width: Estimate | None
    spacing: float


def crossings(probabilities: Float[Tensor, "pairs steps"]) -> Crossings:
    """Crossings of 1/2 on evenly spaced steps from clean to triggered, straight between the steps.

    The rise is from the pair's own first to its own last probability; its width is from where it
    last leaves 10 % before first reaching 90 %. Intervals: percentile bootstrap of pairs.

    Raises:
        UserError: fewer than two pairs or three steps, or values outside [0, 1].
    """
    p = probabilities.to(torch.float64)
    expect(
        p.ndim == 2 and p.shape[0] >= 2 and p.shape[1] >= 3,
        "[pairs >= 2, steps >= 3]",
        tuple(p.shape),
        "add more",
        "crossings",
    )
    expect(
        ((p >= 0) & (p <= 1)).all(),
        "probabilities in [0, 1]",
        "one outside or NaN",
        "pass probabilities, not logits",
        "crossings",
    )
    above = p > 0.5
    switches = above[:, 1:] != above[:, :-1]
    count = switches.sum(-1)
    step = 1 / (p.shape[1] - 1)
    crossing, rising = count > 0, above[:, -1] & ~above[:, 0]
    first = _between(p[crossing], 0.5, switches[crossing].to(torch.int8).argmax(-1))
    return Crossings(
        count=mean_interval(count.to(torch.float64)),
        single=wilson(int((count == 1).sum()), len(p)),
        position=_mean(first * step),
        width=_mean(_rise(p[rising]) * step),
        spacing=step,
    )


def _mean(values: Float[Tensor, "k"]) -> Estimate | None:
    """Mean with its interval; of a single value, an interval without an end it could know."""
    if len(values) == 0:
        return None
    if len(values) == 1:
        return Estimate(float(values[0]), 0.0, 1.0, 1, method="one pair: nothing known")
    return mean_interval(values)


def _between(p: Tensor, bar: Tensor | float, at: Tensor) -> Float[Tensor, "k"]:
    """Where, in steps, a straight line from step ``at`` to the next meets the bar."""
    row = torch.arange(len(p))
    before, after = p[row, at], p[row, at + 1]
    return at + (bar - before) / (after - before)


def _rise(p: Float[Tensor, "k steps"]) -> Float[Tensor, "k"]:
    """Steps from 10 % to 90 % of the way from a row's first to its last value (which is above)."""
    low, span = p[:, 0], p[:, -1] - p[:, 0]
    tenth, most = low + 0.1 * span, low + 0.9 * span
    reached = (p >= most[:, None]).to(torch.int8).argmax(-1)
    end = _between(p, most, reached - 1)
    steps = torch.arange(p.shape[1])
    below = (p <= tenth[:, None]) & (steps < reached[:, None])
    left = torch.where(below, steps, -1).max(-1).values
    return end - _between(p, tenth, left)
