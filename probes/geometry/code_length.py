"""How many bits the labels cost when a probe learns them as they come (Voita & Titov 2020).

Sender and receiver both have all activations. The labels are sent in blocks that double from a
thirty-second to all of the examples: the first block costs one bit a label, every other is coded
with a probe trained on the blocks before it. Easy labels are learned from few examples and cost
little; what must be memorised costs its full bit. The average over a few random orders is taken.

The probe is ridge regression on the labels as -+1, its scores turned into probabilities by a
logistic that is fitted to left-out scores of the same training examples (Platt 1999). Left-out
scores of ridge are known in closed form, and ridge is linear in the labels: one factorisation per
site and block serves the labels and all their shuffles. Unlike a logistic regression in more
dimensions than examples it is not overconfident, so labels that cannot be learned cost about one
bit and not more.

A unit is what must not be split between training and test: a pair of prompts, or one example. Units
are ordered, left out and resampled as a whole. The shuffles (Hewitt & Liang 2019) permute the
labels within every unit and the units' labels over the units: how often the labels of a unit are
equal is part of the design and no signal.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from circuits.errors import expect
from probes.geometry.spread import Estimates, student
from probes.stats.checks import generator
from probes.stats.intervals import drawn_interval, estimates, newcombe

_FITTED_STEPS, _SHORTENED = 100, 12  # of Newton, each halved so often
_CONVERGED = 1e-7  # nats
_HALVINGS, _FEWEST = 5, 4  # blocks up to n / 2^5 units, but of at least 4


@dataclass(frozen=True)
class Coding:
    """How labels are coded: shuffles for the null, random orders to average, ridge penalty.

    The penalty is unitless, as in `probes.linear.ridge`: times the mean squared distance from the
    training examples' centre.
    """

    shuffles: int = 40
    orders: int = 6
    penalty: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        expect(
            self.shuffles >= 2 and self.orders >= 2 and self.penalty > 0,
            "shuffles >= 2, orders >= 2, penalty > 0",
            f"{self.shuffles}, {self.orders}, {self.penalty}",
            "pass about 40, 6, 0.1",
            "coding",
        )


@dataclass(frozen=True)
class CodeLength:
    """The code of one set of labels, one estimate per site.

    Attributes:
        bits: per label. Its variance is that of the units' costs plus that between orders, which
            stands for other training examples (in simulations it held the mean code length of new
            samples in 83 to 100 % of the cases, mostly in 95 %).
        compression: the uniform code's length over this one's; 1 is none.
        shuffled: bits per label of shuffled labels: mean, and the central 95 % of the shuffles.
        selectivity: shuffled minus bits; its interval holds the spread of both (MOVER).
        p: share of shuffles that cost no more than the labels (Phipson & Smyth 2010).
    """

    bits: Estimates
    compression: Estimates
    shuffled: Estimates
    selectivity: Estimates
    p: tuple[float, ...]


def code_length(
    x: Float[Tensor, "sites n m d"], labels: Bool[Tensor, "n m"], coding: Coding | None = None
) -> CodeLength:
    """Prequential code length of binary labels at every site.

    Args:
        x: activations of n units of m examples each (pairs: m = 2).
        labels: of every example.

    Raises:
        UserError: other shapes, fewer than 8 units, one class only, or values not finite.
    """
    coding = coding or Coding()
    gram, units = _checked(x, labels), x.shape[1]
    source = generator(coding.seed)
    own = labels.cpu()
    shuffles = [_shuffled(own, source) for _ in range(coding.shuffles)]
    rows = torch.stack([own, *shuffles]).flatten(1)
    orders = [torch.randperm(units, generator=source) for _ in range(coding.orders)]
    cost = torch.stack([_bits(gram, rows, order, coding.penalty) for order in orders])
    return _summary(cost.unflatten(-1, labels.shape).mean(-1))


def _shuffled(labels: Bool[Tensor, "n m"], source: torch.Generator) -> Bool[Tensor, "n m"]:
    units = labels[torch.randperm(len(labels), generator=source)]
    return units.gather(1, torch.rand(units.shape, generator=source).argsort(-1))


def _summary(cost: Float[Tensor, "orders sites rows units"]) -> CodeLength:
    own, null = cost[:, :, 0], cost[:, :, 1:].mean((0, -1))
    n, shuffles = own.shape[-1], null.shape[-1]
    value = own.mean((0, -1))
    error = (own.mean(0).var(-1) / n + own.mean(-1).var(0)).sqrt()
    low, high = (value - student(n) * error).clamp_min(1e-9), value + student(n) * error
    method = "Student's t of units and orders"
    bits = estimates(value, low, high, n, method)
    compression = estimates(1 / value, 1 / high, 1 / low, n, method)
    shuffled = tuple(
        drawn_interval(float(site.mean()), site, shuffles, "central 95 % of shuffles")
        for site in null
    )
    selectivity = tuple(
        replace(newcombe(null, own), n=n, method="MOVER of bits and shuffles")
        for null, own in zip(shuffled, bits, strict=True)
    )
    # The slack makes costs that tie on paper tie in floating point.
    reached = (null <= value[:, None] + 1e-9).sum(-1)
    p = (1 + reached).to(torch.float64) / (1 + shuffles)
    return CodeLength(bits, compression, shuffled, selectivity, tuple(p.tolist()))


def _checked(x: Tensor, labels: Tensor) -> Float[Tensor, "sites examples examples"]:
    """Inner products of all examples about their mean."""
    expect(
        x.ndim == 4 and labels.dtype == torch.bool and labels.shape == x.shape[1:3],
        "x [sites, n, m, d] and bool labels [n, m]",
        f"{tuple(x.shape)} and {labels.dtype} {tuple(labels.shape)}",
        "give one label per example",
        "code length",
    )
    expect(
        x.shape[1] >= 2 * _FEWEST and not labels.all() and labels.any(),
        f"at least {2 * _FEWEST} units and both classes",
        f"{x.shape[1]} and {int(labels.sum())} positives",
        "add units",
        "code length",
    )
    flat = x.to(torch.float64).flatten(1, 2)
    flat = flat - flat.mean(1, keepdim=True)
    expect(
        torch.linalg.vector_norm(flat).isfinite(),
        "finite activations",
        "NaN or inf",
        "drop those",
        "code length",
    )
    return flat @ flat.mT


def blocks(units: int) -> list[int]:
    """Ends of the blocks: from about units / 32 (at least 4), doubling, to all of them."""
    ends = {max(_FEWEST, math.ceil(units / 2**i)) for i in range(_HALVINGS + 1)}
    return sorted(ends)


def _bits(
    gram: Float[Tensor, "sites examples examples"],
    rows: Bool[Tensor, "rows examples"],
    order: Int[Tensor, "units"],
    penalty: float,
) -> Float[Tensor, "sites rows examples"]:
    """Cost in bits of every example's label, for every row of labels, in one order of the units."""
    members = rows.shape[1] // len(order)
    place = order[:, None] * members + torch.arange(members)  # examples of each unit, in order
    ends = blocks(len(order))
    cost = torch.ones(gram.shape[0], *rows.shape, dtype=torch.float64)  # one bit in the first block
    for past, until in pairwise(ends):
        seen, coming = place[:past], place[past:until].reshape(-1)
        left_out, scores = _ridge(gram, rows, seen, coming, penalty)
        known = rows[:, seen.reshape(-1)].expand(left_out.shape)
        slope, offset = platt(left_out.flatten(0, 1), known.flatten(0, 1))
        logit = slope[:, None] * scores.flatten(0, 1) + offset[:, None]
        sign = torch.where(rows[:, coming], 1.0, -1.0)
        cost[..., coming] = softplus(-sign * logit.view_as(scores)) / math.log(2)
    return cost


def _ridge(
    gram: Float[Tensor, "sites examples examples"],
    rows: Bool[Tensor, "rows examples"],
    seen: Int[Tensor, "past members"],
    coming: Int[Tensor, "next"],
    penalty: float,
) -> tuple[Float[Tensor, "sites rows trained"], Float[Tensor, "sites rows next"]]:
    """Ridge scores with a free intercept: of every training unit left out, and of the next ones.

    With H the matrix that maps labels to fitted scores, leaving out unit g changes its scores to
    y_g - (1 - H_gg)^-1 (y - H y)_g (Cook & Weisberg 1982), exactly, at the same penalty.
    """
    past, members = seen.shape
    at = seen.reshape(-1)
    k = gram[:, at[:, None], at]
    across = gram[:, coming[:, None], at]
    centre = k.mean(-1, keepdim=True)
    k = k - centre - centre.mT + centre.mean(-2, keepdim=True)
    across = across - across.mean(-1, keepdim=True) - centre.mT + centre.mean(-2, keepdim=True)
    scale = penalty * k.diagonal(dim1=1, dim2=2).mean(-1).clamp_min(1e-200)[:, None, None]
    inverse = torch.linalg.inv(k + scale * torch.eye(len(at), dtype=k.dtype))
    y = torch.where(rows[:, at], 1.0, -1.0).to(k)  # [rows, trained]
    mean = y.mean(-1, keepdim=True)
    dual = inverse @ (y - mean).mT  # [sites, trained, rows]
    scores = (across @ dual).mT + mean
    residual = (scale * dual).mT.unflatten(-1, (past, members))
    own = inverse.unflatten(1, (past, members)).unflatten(3, (past, members))
    own = own.diagonal(dim1=1, dim2=3).movedim(-1, 1)  # [sites, past, members, members]
    leverage = scale[..., None] * own - 1 / len(at)  # the unit's own block of 1 - H
    change = torch.linalg.solve(leverage, residual.movedim(1, -1))  # [sites, past, members, rows]
    left_out = y - change.movedim(-1, 1).flatten(2)
    return left_out, scores


def platt(
    scores: Float[Tensor, "rows n"], labels: Bool[Tensor, "rows n"]
) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
    """(slope, offset) of the best logistic in one score per row (Platt 1999).

    P(positive | score) = sigmoid(slope * score + offset) with slope >= 0; a falling one is replaced
    by a flat one. The labels are softened to (n+ + 1) / (n+ + 2) and 1 / (n- + 2), which is what a
    uniform prior leaves of certainty; so the fit is finite where the scores separate the classes,
    and with one class it is Laplace's rule.
    """
    positives = labels.sum(-1, keepdim=True).to(scores)
    negatives = labels.shape[-1] - positives
    target = torch.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle = scores.mean(-1, keepdim=True)
    unit = (scores - middle).square().mean(-1, keepdim=True).sqrt()
    unit = torch.where(unit > 1e-12 * (1 + middle.abs()), unit, torch.inf)  # constant: no slope
    z = (scores - middle) / unit
    base = target.mean(-1).logit()
    slope, offset = _fit_logistic(z, target, base)
    slope, offset = torch.where(slope > 0, slope, 0), torch.where(slope > 0, offset, base)
    slope = slope / unit[:, 0]
    return slope, offset - slope * middle[:, 0]


def _fit_logistic(
    z: Float[Tensor, "rows n"], target: Float[Tensor, "rows n"], base: Float[Tensor, "rows"]
) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
    """(slope, offset) by Newton's method, a row's step halved until its loss no longer rises."""
    slope, offset = torch.zeros_like(base), base.clone()
    loss = _cross_entropy(z, target, slope, offset)
    for _ in range(_FITTED_STEPS):
        p = torch.sigmoid(slope[:, None] * z + offset[:, None])
        wrong, curve = p - target, p * (1 - p)
        g_slope, g_offset = (wrong * z).sum(-1), wrong.sum(-1)
        a, b, c = (curve * z * z).sum(-1) + 1e-9, (curve * z).sum(-1), curve.sum(-1) + 1e-9
        scale = a * c - b * b
        by_slope = -(c * g_slope - b * g_offset) / scale
        by_offset = -(a * g_offset - b * g_slope) / scale
        for _ in range(_SHORTENED):
            new = _cross_entropy(z, target, slope + by_slope, offset + by_offset)
            worse = new > loss + 1e-12
            if not worse.any():
                break
            factor = torch.where(worse, 0.5, 1.0)
            by_slope, by_offset = by_slope * factor, by_offset * factor
        moved = new <= loss + 1e-12
        slope = torch.where(moved, slope + by_slope, slope)
        offset = torch.where(moved, offset + by_offset, offset)
        gained = torch.where(moved, loss - new, 0)
        loss = torch.where(moved, new, loss)
        if (gained <= _CONVERGED).all():
            break
    return slope, offset


def _cross_entropy(
    z: Tensor, target: Tensor, slope: Tensor, offset: Tensor
) -> Float[Tensor, "rows"]:
    """Cross-entropy of the softened labels, in nats."""
    logit = slope[:, None] * z + offset[:, None]
    return (softplus(logit) - target * logit).sum(-1)
