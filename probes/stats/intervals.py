"""Estimates and their intervals over plain tensors: shares, means and differences, in float64.

Single shares have Wilson's interval, shares of answers in groups Korn and Graubard's, independent
shares are subtracted by MOVER, paired ones have Tango's, means that of `probes.stats.means`. Their
coverage where they are used: ``docs/results/coverage.md``.

Every function raises ValueError, in one line, on a wrong shape or a non-finite value.
"""

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from scipy.optimize import root_scalar
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import check_level, check_vector
from probes.stats.clusters import effective_n
from probes.stats.means import mean_bounds, reaches_zero
from probes.stats.shares import clopper_pearson_bounds, tango_bounds, wilson_bounds

MEANS = "Student's t and Hall's"
ONE_GROUP = "one group: no interval"


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at confidence `level`, from `n` examples by `method`.

    Formatted, it is said with its interval, each number as `spec` says of a float: `f"{e:.3g}"` is
    `0.25 [0.1, 0.4]`, `f"{e:.0%}"` is `25% [10%, 40%]`. A `p` behind `%` says the sign once,
    `25% [10, 40]`; an `n` at the end adds `(n=20)`; a width is the value's alone. `100 * e` are
    points, `1 / e` is the inverse.

    Raises ValueError unless low <= value <= high (to rounding), n >= 1 and 0 < level < 1.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    method: str = ""

    def __post_init__(self) -> None:
        slack = 1e-9 * (1 + abs(self.value))
        expect(  # also catches NaN
            self.low - slack <= self.value <= self.high + slack,
            "low <= value <= high",
            f"{self.low}, {self.value}, {self.high}",
            "check the interval",
        )
        expect(self.n >= 1, "n >= 1 examples", self.n, "pass the sample size")
        check_level(self.level)

    def __rmul__(self, factor: float) -> "Estimate":
        """In another unit; `factor` must be positive."""
        value, low, high = (factor * v for v in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)

    def __rtruediv__(self, whole: float) -> "Estimate":
        """``whole`` over it; both must be positive."""
        value, low, high = (whole / v for v in (self.value, self.high, self.low))
        return replace(self, value=value, low=low, high=high)

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        text = interval_text(self.value, self.low, self.high, spec.removesuffix("n"))
        return f"{text} (n={self.n})" if spec.endswith("n") else text

    def __str__(self) -> str:
        width = self.high - self.low
        digits = max(2, -math.floor(math.log10(width))) if 0 < width < math.inf else 2
        value, low, high = (f"{v:.{digits}f}" for v in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}] (n={self.n})"


def interval_text(value: float, low: float, high: float, spec: str) -> str:
    """`value [low, high]` in a spec of `Estimate`, without its n; ValueError on any other."""
    parts = re.fullmatch(r"(\d*)(\+?z?\.\d+[efg%])(p?)", spec)
    if parts is None:
        raise ValueError(f"expected a spec such as .3g, .0% or 8.3f, got {spec!r}; see Estimate")
    width, each, once = parts.groups()
    first, *ends = (f"{v:{each}}" for v in (value, low, high))
    low_text, high_text = (end.rstrip("%") if once else end for end in ends)
    return f"{first:>{width or 0}} [{low_text}, {high_text}]"


def estimates(
    value: Float[Tensor, "*cells"],
    low: Float[Tensor, "*cells"],
    high: Float[Tensor, "*cells"],
    n: int,
    method: str,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """One estimate per cell; the interval is widened by rounding where it must hold the value."""
    low, high = torch.minimum(low, value), torch.maximum(high, value)
    rows = zip(*(part.flatten().tolist() for part in (value, low, high)), strict=True)
    return tuple(Estimate(v, least, most, n, level, method) for v, least, most in rows)


def drawn_interval(
    value: float,
    draws: Float[Tensor, "r"],
    n: int,
    method: str,
    level: float = 0.95,
    stretch: float | None = None,
) -> Estimate:
    """A value with the central part of its draws; undefined ones are left out.

    Args:
        stretch: by which the ends are pushed out from the value; None leaves them.
    """
    check_level(level)
    kept = draws[~draws.isnan()]
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ends = kept.quantile(tails).tolist() if len(kept) else (value, value)
    low, high = (end if stretch is None else value + stretch * (end - value) for end in ends)
    return Estimate(value, min(low, value), max(high, value), n, level, method)


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Share successes / n with its score interval (`shares.wilson_bounds`)."""
    expect(
        n >= 1 and 0 <= successes <= n,
        "0 <= successes <= n and n >= 1",
        f"{successes}, {n}",
        "recount",
    )
    return share_interval(torch.tensor(successes / n, dtype=torch.float64), n, level)


def share_interval(share: Float[Tensor, ""], n: int, level: float = 0.95) -> Estimate:
    """A share of n trials, which need not be a whole number of them, with its score interval."""
    low, high = wilson_bounds(share, n, level)
    return Estimate(share.item(), low.item(), high.item(), n, level, "Wilson score")


def rate(
    flags: Sequence[bool], groups: Sequence[Hashable] | None = None, level: float = 0.95
) -> Estimate:
    """The share of true flags, with Wilson's interval, or Korn and Graubard's over groups.

    Args:
        groups: flags that belong together (of one key, one template; of one prompt with several
            words) are of one group; ``n`` is then the number of groups. One group alone says
            nothing of others: 0 to 1.
    """
    expect(flags, "at least one answer", "none", "ask a prompt")
    values = torch.tensor(flags, dtype=torch.float64)
    share, n = values.mean(), len(flags)
    if groups is None or len(set(groups)) == n:
        return share_interval(share, n, level)
    member = numbered(groups)
    units = int(member.max()) + 1
    if units == 1:
        return Estimate(share.item(), 0.0, 1.0, 1, level, ONE_GROUP)
    worth = effective_n(values[None], member, (share * (1 - share))[None], level)[0]
    low, high = clopper_pearson_bounds(share, worth, level)
    return Estimate(share.item(), low.item(), high.item(), units, level, "Korn-Graubard")


def numbered(groups: Sequence[Hashable]) -> Int[Tensor, "n"]:
    """Groups by number, in the order in which they come."""
    known = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    return torch.tensor([known[group] for group in groups])


def newcombe(rate: Estimate, other: Estimate) -> Estimate:
    """``rate`` minus ``other``, independent, each with its own interval (of groups as well).

    Newcombe 1998, method 10 (MOVER): the intervals' halves are added as squares. ``n`` is the
    smaller one.
    """
    value = rate.value - other.value
    low = math.hypot(rate.value - rate.low, other.high - other.value)
    high = math.hypot(rate.high - rate.value, other.value - other.low)
    n = min(rate.n, other.n)
    return Estimate(value, value - low, value + high, n, rate.level, "Newcombe hybrid score")


def quotient(above: Estimate, below: Estimate) -> Estimate | None:
    """``above`` over ``below``, each with its own interval; None where ``below`` may be 0.

    A ratio R is in the interval where ``above`` - R ``below`` may be 0 by MOVER (Donner & Zou 2012,
    Statistical Methods in Medical Research 21, 347-359), as if the two were independent.
    """
    if below.low <= 0 <= below.high:
        return None
    sign = math.copysign(1, below.value)
    a, (low, value, high) = above, sorted(sign * v for v in (below.low, below.value, below.high))
    ratio = sign * a.value / value

    def past(at: float, side: int) -> float:
        """How far above - at below lies on the other side of 0, its interval's end included."""
        upper = (side > 0) == (at >= 0)
        own = (a.value - a.low) if side * sign < 0 else (a.high - a.value)
        return side * (sign * a.value - at * value) + math.hypot(
            own, at * ((value - low) if upper else (high - value))
        )

    def end(side: int) -> float:
        step = (a.high - a.low + high - low) / value + 1e-12
        while past(ratio + side * step, side) > 0:
            step *= 2
        first, last = sorted((ratio, ratio + side * step))
        return float(root_scalar(past, args=(side,), bracket=(first, last)).root)

    return Estimate(ratio, end(-1), end(1), min(a.n, below.n), a.level, "MOVER of a ratio")


def mean_interval(
    values: Float[Tensor, "n"],
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean of `values` in their unit, as `probes.stats.means` bounds it, over values or groups."""
    check_vector(values, "values")
    member = None if groups is None else numbered(groups)
    low, high = mean_bounds(values, level, member)
    n = len(values) if member is None else int(member.max()) + 1
    return Estimate(values.double().mean().item(), low.item(), high.item(), n, level, MEANS)


def difference_interval(
    a: Float[Tensor, "n"],
    b: Float[Tensor, "n"],
    level: float = 0.95,
    groups: Sequence[Hashable] | None = None,
) -> Estimate:
    """Mean of a - b over examples, the pairs (a_i, b_i) kept together.

    Answers that show something (1) or not (0) have Tango's interval, others that of their mean.

    Args:
        groups: examples that belong together; ``n`` is then the number of groups.
    """
    check_vector(a, "a")
    expect(
        a.shape == b.shape,
        "a and b of one shape [n]",
        f"{tuple(a.shape)} and {tuple(b.shape)}",
        "pair them by example",
    )
    both, change = torch.stack([a, b]).to(torch.float64), a.to(torch.float64) - b.to(torch.float64)
    if len(a) and ((both == 0) | (both == 1)).all():
        return _paired_shares(change, level, groups)
    return mean_interval(change, level, groups)


def _paired_shares(
    change: Float[Tensor, "n"], level: float, groups: Sequence[Hashable] | None
) -> Estimate:
    """Tango's interval of the mean of differences -1, 0 and 1, of as many as groups are worth."""
    n, mean = len(change), change.mean()
    units, worth, method = n, torch.tensor(n, dtype=torch.float64), "Tango score"
    if groups is not None and len(set(groups)) < n:
        member = numbered(groups)
        units, method = int(member.max()) + 1, "Tango score of groups"
        if units == 1:
            return Estimate(mean.item(), -1.0, 1.0, 1, level, ONE_GROUP)
        worth = effective_n(change[None], member, change.var(correction=0)[None], level)[0]
    gained, lost = ((change == sign).double().mean() * worth for sign in (1, -1))
    low, high = tango_bounds(gained, lost, worth, level)
    return Estimate(mean.item(), low.item(), high.item(), units, level, method)


def is_scale(full: Float[Tensor, "n"], level: float = 0.95) -> bool:
    """Whether a mean can divide others (`means.ratio_bounds`): its interval does not reach 0."""
    check_vector(full, "full")
    low, high = mean_bounds(full[None], level)
    return not bool(reaches_zero(low, high, full[None]))
