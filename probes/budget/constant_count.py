"""Is the number of poisons that opens a gate a constant, or a constant share of the size?

The constant-count claim (Souly et al. 2025, arXiv 2510.07192) is that the threshold does not grow
with the data or the model. The thresholds of two sizes are fitted as in
``probes.budget.threshold``, both sides of a seed resampled together; the interval of their ratio is
set against 1 (constant count) and against the ratio of the sizes (constant share). Swapping the
sizes within seeds tests for any difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.budget.cells import Cells, CensoredEstimate
from probes.budget.threshold import (
    Lines,
    Table,
    bracket_of,
    censored,
    ends_of,
    fitted,
    picks,
    resampled,
    table_of,
)
from probes.stats.checks import check_level, generator

Conclusion = Literal["constant count", "constant share", "neither", "undecided"]
_CONCLUSIONS: dict[tuple[bool, bool], Conclusion] = {  # interval holds: 1, the ratio of sizes
    (True, True): "undecided",
    (True, False): "constant count",
    (False, True): "constant share",
    (False, False): "neither",
}
MEANING: dict[Conclusion, str] = {
    "constant count": "as many poisons open the gate at both sizes, not the same share",
    "constant share": "the poisons needed grow in proportion to the size",
    "neither": "the poisons needed neither stay the same nor grow in proportion",
    "undecided": "the data cannot tell a constant count from a constant share",
}
_MOST_ENUMERATED, _SAMPLED = 12, 4095


@dataclass(frozen=True)
class ThresholdRatio:
    """The second threshold over the first, beside the second size over the first.

    Attributes:
        ratio: of the thresholds; its n is the number of seeds.
        ratio_of_size: what the ratio would be if a share of the data opened the gate.
        conclusion: which of 1 and ``ratio_of_size`` the interval holds; "undecided" if both, or if
            an open interval holds either.
        p: two-sided, of no difference, from swapping the sizes within seeds; None below 3 seeds.
        p_smallest: the smallest p that so many seeds can give.
    """

    ratio: CensoredEstimate
    ratio_of_size: float
    conclusion: Conclusion
    p: float | None
    p_smallest: float | None

    @property
    def sentence(self) -> str:
        """The conclusion in plain words."""
        if self.p is None:
            few = "one seed: others may differ" if self.ratio.n == 1 else "two seeds"
            test = f"{few}; no difference: not tested"
        else:
            test = f"no difference: p = {self.p:.3g}, smallest possible {self.p_smallest:.3g}"
        return (
            f"At {self.ratio_of_size:.3g} times the size the threshold is {self.ratio} "
            f"times as high: {MEANING[self.conclusion]} ({test})."
        )


def compare_thresholds(
    a: Cells,
    b: Cells,
    ratio_of_size: float,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> ThresholdRatio:
    """Is the threshold of ``b`` that of ``a``, or larger in the ratio of their sizes?

    Args:
        a, b: cells of the same seeds at two sizes of data set, or of model; both sides of a seed
            are resampled together.
        ratio_of_size: size of b over size of a.

    Raises:
        UserError: other seeds in ``b``, a ratio that is not positive or is 1, or too few counts.
    """
    check_level(level)
    expect(
        0 < ratio_of_size < math.inf and ratio_of_size != 1,
        "a positive number other than 1",
        ratio_of_size,
        "pass size of b / size of a",
        "ratio of sizes",
    )
    seeds = [sorted(set(part.seed.tolist())) for part in (a, b)]
    expect(
        seeds[0] == seeds[1],
        "the same at both sizes",
        f"{seeds[0]} and {seeds[1]}",
        "drop the others",
        "seeds",
    )
    tables = table_of(a), table_of(b)
    drawn = picks(len(seeds[0]), resamples, seed)
    sides = resampled(tables[0], drawn, seed), resampled(tables[1], drawn, seed + 1)
    ratio, inside = _ratio(sides, tables, level, ratio_of_size)
    p, smallest = _swap_p(a, b, seed) if len(seeds[0]) >= 3 else (None, None)
    conclusion = _CONCLUSIONS[inside]
    if any(inside) and (ratio.low_open or ratio.high_open):
        conclusion = "undecided"  # an open interval holds almost any ratio
    return ThresholdRatio(ratio, ratio_of_size, conclusion, p, smallest)


def _ratio(
    sides: tuple[Sequence[Lines], Sequence[Lines]],
    tables: tuple[Table, Table],
    level: float,
    size: float,
) -> tuple[CensoredEstimate, tuple[bool, bool]]:
    """Second threshold over first, and whether the unclipped interval holds 1 and ``size``."""
    first, second = tables
    limits = second.low - first.high, second.high - first.low
    crossings = [
        [line.crossing(0.0, table.low, table.high) for line in fits]
        for fits, table in zip(sides, tables, strict=True)
    ]
    least, most = [], []
    for here, there in zip(*crossings, strict=True):
        nearest = there.clamp(second.low, second.high) - here.clamp(first.low, first.high)
        least.append(torch.where((there == -math.inf) | (here == math.inf), -math.inf, nearest))
        most.append(torch.where((there == math.inf) | (here == -math.inf), math.inf, nearest))
    k = len(first.n)
    low, high = ends_of(least, k, level, limits)[0], ends_of(most, k, level, limits)[1]
    bounds = float(least[0]), float(most[0])
    if all(map(math.isfinite, bounds)):  # what is not resolved may be anywhere in its bracket
        here, there = (
            bracket_of(table) or (float(part[0]),) * 2
            for table, part in zip(tables, crossings, strict=True)
        )
        low, high = low.clamp(max=there[0] - here[1]), high.clamp(min=there[1] - here[0])
    ends = float(low), float(high)
    holds = ends[0] <= 0 <= ends[1], ends[0] <= math.log(size) <= ends[1]
    return censored(bounds, ends, limits, k, level), holds


def _swap_p(a: Cells, b: Cells, seed: int) -> tuple[float, float]:
    """(p, smallest p) of |ln ratio| when a seed's sizes may as well be the other way round.

    All patterns of up to 12 seeds (Fisher 1935), else sampled ones (Phipson & Smyth 2010).
    Thresholds beyond the counts are put at the nearest.
    """
    both = [*a.count[a.count > 0].tolist(), *b.count[b.count > 0].tolist()]
    first, second = table_of(a, both), table_of(b, both)
    k = len(first.n)
    exact = k <= _MOST_ENUMERATED
    if exact:
        bits = (torch.arange(2**k)[:, None] >> torch.arange(k)) & 1
    else:
        bits = torch.randint(0, 2, (_SAMPLED + 1, k), generator=generator(seed))
        bits[0] = 0  # the sizes as they are
    swapped = bits.double()

    def thresholds(one: Table, other: Table) -> Float[Tensor, " patterns"]:
        shown, n = (
            mine.sum(0) + swapped @ (theirs - mine)
            for mine, theirs in ((one.shown, other.shown), (one.n, other.n))
        )
        crossing = fitted(one.x, shown, n).crossing(0.0, one.low, one.high)
        return crossing.clamp(one.low, one.high)

    distance = (thresholds(second, first) - thresholds(first, second)).abs()
    p = float((distance >= distance[0] - 1e-6).double().mean())
    return p, 2.0 ** (1 - k) if exact else 1 / len(bits)
