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
from collections.abc import Sequence

import torch

from probes.budget.cells import Cells, CensoredEstimate, RateCurve, ThresholdFit
from probes.budget.lines import (
    FEW,
    METHOD,
    Lines,
    Table,
    bracket_of,
    censored,
    ends_of,
    picks,
    resampled,
    table_of,
)
from probes.stats.checks import check_level
from probes.stats.intervals import wilson

_GRID = 61


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
    parts = (torch.sigmoid(part).tolist() for part in (logits[0][0], low, high))
    rate, lowest, highest = map(tuple, parts)
    return RateCurve(tuple(x.exp().tolist()), rate, lowest, highest)
