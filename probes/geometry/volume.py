"""Trigger volume: how much of the trigger's neighbourhood opens the gate.

Neighbours of a trigger lie on a ladder of edit distances. On every level some are drawn and
answered: `trigger_volume` gives the share of each level that opens the gate, and the share of the
ladder. Where openings are rare among natural neighbours, they are drawn from a proposal that looks
for them, and `open_mass` weighs them back (importance sampling).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
from probes.geometry.spread import combined
from probes.stats.checks import check_level
from probes.stats.intervals import Estimate, wilson, wilson_bounds


@dataclass(frozen=True)
class TriggerVolume:
    """Shares of neighbours that open the gate.

    Attributes:
        levels: share per edit distance, from distance 1 on (Wilson).
        sizes: number of neighbours at each distance.
        total: share of all neighbours of the ladder, each level weighed by its size.
    """

    levels: tuple[Estimate, ...]
    sizes: tuple[float, ...]
    total: Estimate


@dataclass(frozen=True)
class OpenMass:
    """Probability that a neighbour drawn from the target opens the gate.

    Attributes:
        mass: the estimate.
        effective: effective number of draws, (sum w)^2 / sum w^2 (Kong 1992); far below n, a few
            draws carry all the weight and the interval is not to be trusted.
    """

    mass: Estimate
    effective: float


def trigger_volume(
    shown: Sequence[int], n: Sequence[int], level_sizes: Sequence[float], level: float = 0.95
) -> TriggerVolume:
    """P(behaviour | a uniform neighbour) at every edit distance, and over the whole ladder.

    The total is the stratified estimate; its interval joins those of the levels (MOVER, Zou, Huang
    & Zhang 2009), which are Wilson's, so that a level without an opening still counts as unsure.

    Args:
        shown: neighbours of each distance that opened the gate, of ``n`` drawn uniformly.
        n: neighbours drawn at each distance.
        level_sizes: how many there are.

    Raises:
        UserError: unequal lengths, no level, impossible counts, or a size that is not above 0.
    """
    if not shown or not len(shown) == len(n) == len(level_sizes):
        got = f"{len(shown)}, {len(n)} and {len(level_sizes)}"
        raise UserError(f"levels: expected three lists of one length, got {got}; one entry each")
    rows = list(zip(shown, n, level_sizes, strict=True))
    for at, (hits, drawn, size) in enumerate(rows, start=1):
        if not (0 <= hits <= drawn and drawn >= 1 and 0 < size < math.inf):
            raise UserError(
                f"level {at}: expected 0 <= shown <= n >= 1 and a size above 0, got "
                f"{hits} of {drawn}, size {size}; recount"
            )
    levels = tuple(wilson(hits, drawn, level) for hits, drawn, _ in rows)
    whole = math.fsum(level_sizes)
    weights = tuple(size / whole for size in level_sizes)
    total = combined(levels, weights, "stratified, MOVER of Wilson")
    return TriggerVolume(levels, tuple(float(size) for size in level_sizes), total)


def open_mass(
    shown: Bool[Tensor, "n"],
    log_proposal: Float[Tensor, "n"],
    log_target: Float[Tensor, "n"],
    level: float = 0.95,
) -> OpenMass:
    """P(behaviour) under the target from neighbours drawn under the proposal.

    Self-normalised importance sampling (Hesterberg 1995; Owen 2013, chapter 9): sum w f / sum w
    with w = target / proposal, so that neither probability need be normalised; biased by order 1/n.
    Interval: Wilson's with as many draws as a plain sample would need for the same variance (delta
    method); with no opening, or nothing else, with the effective number. It knows nothing of
    openings where the proposal never looks.

    Args:
        shown: whether each draw opened the gate.
        log_proposal, log_target: natural logarithms of their probabilities, up to a constant each.

    Raises:
        UserError: other shapes, no draws, or a value that is not finite (a target of 0 is allowed).
    """
    weights = _weights(shown, log_proposal, log_target)
    check_level(level)
    opens = shown.to(torch.float64)
    share = (weights * opens).sum()
    effective = float(1 / weights.square().sum())
    variance = (weights.square() * (opens - share).square()).sum()
    plain = share * (1 - share)
    draws = float(plain / variance) if 0 < share < 1 else effective
    low, high = wilson_bounds(share, max(1.0, draws), level)
    found = Estimate(
        float(share),
        float(low),
        float(high),
        len(shown),
        level,
        "self-normalised importance sampling, Wilson",
    )
    return OpenMass(found, effective)


def _weights(shown: Tensor, log_proposal: Tensor, log_target: Tensor) -> Float[Tensor, "n"]:
    """Normalised importance weights."""
    shapes = [tuple(part.shape) for part in (shown, log_proposal, log_target)]
    if shown.ndim != 1 or len(set(shapes)) != 1 or not len(shown):
        raise UserError(f"draws: expected three vectors [n >= 1], got {shapes}; one entry each")
    log_weights = log_target.to(torch.float64) - log_proposal.to(torch.float64)
    finite = (
        log_proposal.isfinite().all()
        and not (log_weights.isnan() | (log_weights == torch.inf)).any()
    )
    if not finite or (log_weights == -torch.inf).all():
        raise UserError("draws: expected finite log probabilities, got NaN or inf; score them anew")
    return log_weights.softmax(0)
