"""Logistic lines in the logarithm of the number of poisons, fitted and resampled in one batch.

Binomial maximum likelihood, under a normal prior of standard
deviation 10 on the slope and on the logit at the middle count; ``probes.budget.threshold`` says
why. A bootstrap resamples seeds and then, within each cell, answers; a second one, of whole seeds
alone, is pushed out around the estimate by t / z * sqrt(k / (k - 1)), k seeds (Hesterberg 2015).
The wider end holds. Everything here is in ln count.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import norm, t
from torch import Tensor

from circuits.errors import expect
from probes.budget.cells import Beyond, Cells, CensoredEstimate
from probes.stats.algebra import newton
from probes.stats.checks import at_least_one, generator

FEW = 0.05  # a count with more than this, and less than 1 minus this, resolves the rise
METHOD = "bootstrap over seeds and answers"
_PRECISION = 0.01  # of the prior: standard deviation 10


@dataclass(frozen=True)
class Table:
    """Answers by seed and count (> 0); a cell that was not measured has n = 0."""

    x: Float[Tensor, " counts"]  # ln count, rising
    shown: Float[Tensor, "seeds counts"]
    n: Float[Tensor, "seeds counts"]

    @property
    def low(self) -> float:
        return float(self.x[0])

    @property
    def high(self) -> float:
        return float(self.x[-1])


@dataclass(frozen=True)
class Lines:
    """Logits that are linear in ln count: ``middle`` at ``centre``; one line per resample."""

    centre: float
    middle: Float[Tensor, " draws"]
    slope: Float[Tensor, " draws"]

    def at(self, x: Float[Tensor, " grid"]) -> Float[Tensor, "draws grid"]:
        return self.middle[:, None] + self.slope[:, None] * (x - self.centre)

    def crossing(self, logit: float, low: float, high: float) -> Float[Tensor, " draws"]:
        """ln count at which the logit is reached; infinite where that is not in [low, high]."""
        missing = logit - self.middle
        x = self.centre + missing / self.slope.clamp_min(1e-12)
        return torch.where(x > high, math.inf, torch.where(x < low, -math.inf, x))


def table_of(cells: Cells, counts: Iterable[int] = ()) -> Table:
    """Sums over cells of one seed and count, at all counts above 0 and at those given."""
    kept = cells.count > 0
    known = sorted({*cells.count[kept].tolist(), *counts})
    expect(len(known) >= 2, "two or more above 0", known, "measure further counts", "poison counts")
    names, row = cells.seed.unique(return_inverse=True)
    column = torch.searchsorted(torch.tensor(known), cells.count[kept])
    shape = (len(names), len(known))

    def summed(values: Int[Tensor, " cells"]) -> Float[Tensor, "seeds counts"]:
        empty = torch.zeros(shape, dtype=torch.float64)
        return empty.index_put_((row[kept], column), values[kept].double(), accumulate=True)

    x = torch.tensor(known, dtype=torch.float64).log()
    return Table(x, summed(cells.shown), summed(cells.n))


def fitted(
    x: Float[Tensor, " counts"],
    shown: Float[Tensor, "draws counts"],
    n: Float[Tensor, "#draws counts"],
) -> Lines:
    """Penalised maximum likelihood of every row; a falling rate is fitted by a constant one."""
    centre = float(x.mean())
    features = torch.stack([torch.ones_like(x), x - centre], dim=-1)
    share, penalty = shown / n.clamp_min(1), torch.full((2,), _PRECISION).to(x)
    theta = newton(features.expand(len(shown), -1, -1), share, penalty, n)
    middle, slope = theta.unbind(-1)
    flat = torch.logit(shown.sum(1) / n.sum(1), eps=1e-6)
    return Lines(centre, torch.where(slope > 0, middle, flat), slope.clamp_min(0))


def picks(seeds: int, resamples: int, seed: int) -> Int[Tensor, "draws seeds"]:
    """Rows of seeds that make up each resample."""
    return torch.randint(seeds, (at_least_one(resamples), seeds), generator=generator(seed))


def resampled(table: Table, drawn: Int[Tensor, "draws seeds"], seed: int) -> tuple[Lines, ...]:
    """Fits of the data, of resampled seeds and answers, and of resampled seeds alone."""
    n, shown = table.n[drawn], table.shown[drawn]
    answers = torch.binomial(n, shown / n.clamp_min(1), generator=generator(seed + 1))
    every = fitted(table.x, table.shown.sum(0)[None], table.n.sum(0)[None])
    return every, *(fitted(table.x, part.sum(1), n.sum(1)) for part in (answers, shown))


def ends_of(
    values: Sequence[Float[Tensor, "_ *parts"]],
    seeds: int,
    level: float,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[Float[Tensor, "*parts"], Float[Tensor, "*parts"]]:
    """(low, high) from what the data give, resamples of seeds and answers, and of seeds alone.

    Quantiles are order statistics, so that they may be infinite. An estimate outside ``limits``
    counts as standing at the nearest.
    """
    centre = values[0][0].clamp(*limits)
    tail = (1 - level) / 2
    push = 1.0
    if seeds > 1:
        push = float(t.isf(tail, seeds - 1) / norm.isf(tail)) * math.sqrt(seeds / (seeds - 1))
    ends = []
    for sign in (1.0, -1.0):
        both, alone = (_quantile(sign * draws, tail) for draws in values[1:])
        middle = sign * centre
        pushed = torch.where(middle.isfinite(), middle + push * (alone - middle), both)
        ends.append(sign * torch.stack([both, pushed, middle]).amin(0))
    return ends[0], ends[1]


def _quantile(draws: Float[Tensor, "_ *parts"], share: float) -> Float[Tensor, "*parts"]:
    return draws.sort(0).values[int(share * (len(draws) - 1))]


def bracket_of(table: Table) -> tuple[float, float] | None:
    """The two ln counts between which the rate leaps; None where some count lies in the rise."""
    share = table.shown.sum(0) / table.n.sum(0)
    none, most = share <= FEW, share >= 1 - FEW
    if not bool((none | most).all()) or not bool(none.any() and most.any()):
        return None
    return float(table.x[none].max()), float(table.x[most].min())


def censored(
    bounds: tuple[float, float],
    ends: tuple[float, float],
    limits: tuple[float, float],
    n: int,
    level: float,
) -> CensoredEstimate:
    """An estimate from logarithms: the least and the most it may be, and its interval's ends.

    What lies outside the limits is put on them and marked.
    """
    above, below = bounds[1] > limits[1], bounds[0] < limits[0]
    known = next((bound for bound in bounds if math.isfinite(bound)), 0.0)
    low, value, high = (
        float(f"{math.exp(min(max(x, limits[0]), limits[1])):.12g}")  # whole counts stay whole
        for x in (ends[0], known, ends[1])
    )
    beyond: Beyond = ("unknown" if below else "above") if above else ("below" if below else "")
    opened = below or ends[0] < limits[0], above or ends[1] > limits[1]
    return CensoredEstimate(value, low, high, n, level, METHOD, beyond, *opened)
