"""How many poisons open a gate: a logistic in the logarithm of their number, by likelihood.

The rate at which the behaviour shows after training on ``count`` poisons is

    sigmoid(slope * (ln count - ln threshold)),    slope >= 0,

fitted to all seeds' answers together by binomial maximum likelihood: Newton steps on two
parameters, every resample in one batch. A normal prior of standard deviation 10 on the slope and on
the logit at the middle count keeps the fit finite where one count shows nothing and the next shows
everything; a fit to tens of answers does not feel it. Runs without poisons are the null rate: they
are reported, not fitted.

Seeds differ by more than their answers do. A bootstrap resamples seeds and then, within each cell,
answers. With few seeds it is too narrow: of three whose thresholds vary by 40 %, its 95 % intervals
held the truth in 81 % of simulations. So a second one, of whole seeds alone, is pushed out around
the estimate by t / z * sqrt(k / (k - 1)), k seeds (Hesterberg 2015), and the wider end holds, which
gave 94 % to 100 %. One seed says nothing about others: its interval is of its answers only.

A threshold outside the counts that were tried is never extrapolated. It is put at the nearest
count, and its record says so; an end of an interval that leaves the range is clipped and marked
open. Where no count shows the behaviour in 5 % to 95 % of the answers, the threshold is known only
to lie between two counts, and its interval holds both.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import norm, t
from torch import Tensor

from circuits.errors import expect
from probes.budget.cells import Beyond, Cells, CensoredEstimate, RateCurve, ThresholdFit
from probes.stats.checks import at_least_one, check_level, generator
from probes.stats.intervals import wilson

_GRID = 61
FEW = 0.05  # a count with more than this, and less than 1 minus this, resolves the rise
METHOD = "bootstrap over seeds and answers"
_PRECISION = 0.01  # of the prior: standard deviation 10
_STEPS, _FARTHEST, _CONVERGED = 60, 3.0, 1e-9  # Newton steps; the most, and least, of a logit


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
    """Penalised maximum likelihood of every row; a falling rate is fitted by a constant one.

    Newton's steps are shortened, because far from the optimum they overshoot.
    """
    centre = float(x.mean())
    off = x - centre
    middle = torch.zeros(len(shown), dtype=x.dtype)
    slope = torch.zeros_like(middle)
    for _ in range(_STEPS):
        rate = torch.sigmoid(middle[:, None] + slope[:, None] * off)
        weight, left = n * rate * (1 - rate), shown - n * rate
        g, h = left.sum(1) - _PRECISION * middle, (left * off).sum(1) - _PRECISION * slope
        aa, bb = weight.sum(1) + _PRECISION, (weight * off**2).sum(1) + _PRECISION
        ab = (weight * off).sum(1)
        determinant = aa * bb - ab * ab
        up, turn = (bb * g - ab * h) / determinant, (aa * h - ab * g) / determinant
        farthest = up.abs() + turn.abs() * off.abs().max()
        scale = _FARTHEST / farthest.clamp_min(_FARTHEST)
        middle, slope = middle + scale * up, slope + scale * turn
        if float(farthest.max()) < _CONVERGED:
            break
    flat = torch.logit(shown.sum(1) / n.sum(1), eps=1e-6)
    return Lines(centre, torch.where(slope > 0, middle, flat), slope.clamp_min(0))


def picks(seeds: int, resamples: int, seed: int) -> Int[Tensor, "draws seeds"]:
    """Rows of seeds that make up each resample."""
    return torch.randint(seeds, (at_least_one(resamples), seeds), generator=generator(seed))


def resampled(table: Table, drawn: Int[Tensor, "draws seeds"], seed: int) -> tuple[Lines, ...]:
    """Fits of the data, of resampled seeds and answers, and of resampled seeds alone."""
    n, shown = table.n[drawn], table.shown[drawn]
    answers = torch.binomial(n, shown / n.clamp_min(1), generator=generator(seed + 1))
    return (
        fitted(table.x, table.shown.sum(0)[None], table.n.sum(0)[None]),
        fitted(table.x, answers.sum(1), n.sum(1)),
        fitted(table.x, shown.sum(1), n.sum(1)),
    )


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
        ordered = ((sign * draws).sort(0).values for draws in values[1:])
        both, alone = (draws[int(tail * (len(draws) - 1))] for draws in ordered)
        middle = sign * centre
        pushed = torch.where(middle.isfinite(), middle + push * (alone - middle), both)
        ends.append(sign * torch.stack([both, pushed, middle]).amin(0))
    return ends[0], ends[1]


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


def fit_threshold(
    cells: Cells, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> ThresholdFit:
    """Fit the rate of the behaviour to the count of poisons.

    Raises:
        UserError: fewer than two different counts above 0.
    """
    check_level(level)
    table = table_of(cells)
    k = len(table.n)
    fits = resampled(table, picks(k, resamples, seed), seed)
    none = cells.count == 0
    shown, n = int(cells.shown[none].sum()), int(cells.n[none].sum())
    return ThresholdFit(
        threshold=_count(fits, table, 0.5, level),
        slope=_slope(fits, table, level),
        count95=_count(fits, table, 0.95, level),
        null_rate=wilson(shown, n, level) if n else None,
        curve=_curve(fits, table, level),
        resolved=bracket_of(table) is None,
        answers=int(table.n.sum()),
    )


def _count(fits: Sequence[Lines], table: Table, share: float, level: float) -> CensoredEstimate:
    """Poisons for a fitted rate of ``share``, within the counts that were tried."""
    limits = table.low, table.high
    crossings = [line.crossing(math.log(share / (1 - share)), *limits) for line in fits]
    low, high = (float(end) for end in ends_of(crossings, len(table.n), level, limits))
    value = float(crossings[0])
    bracket = bracket_of(table)
    if bracket is not None and math.isfinite(value):
        low, high = min(low, bracket[0]), max(high, bracket[1])
    bounds = min(value, limits[1]), max(value, limits[0])
    return censored(bounds, (low, high), limits, len(table.n), level)


def _slope(fits: Sequence[Lines], table: Table, level: float) -> CensoredEstimate:
    k = len(table.n)
    low, high = (float(end.exp()) for end in ends_of([f.slope.log() for f in fits], k, level))
    bracket = bracket_of(table)
    if bracket is None:
        return CensoredEstimate(float(fits[0].slope), low, high, k, level, METHOD)
    least = 2 * math.log((1 - FEW) / FEW) / (bracket[1] - bracket[0])
    most = max(high, least)
    return CensoredEstimate(least, least, most, k, level, METHOD, "above", high_open=True)


def _curve(fits: Sequence[Lines], table: Table, level: float) -> RateCurve:
    x = torch.linspace(table.low, table.high, _GRID, dtype=torch.float64)
    logits = [line.at(x) for line in fits]
    low, high = ends_of(logits, len(table.n), level)

    def rates(logit: Float[Tensor, " points"]) -> tuple[float, ...]:
        return tuple(torch.sigmoid(logit).tolist())

    return RateCurve(tuple(x.exp().tolist()), rates(logits[0][0]), rates(low), rates(high))
