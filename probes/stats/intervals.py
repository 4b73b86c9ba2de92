"""Estimates and their intervals over plain tensors: Wilson, bootstrap; arithmetic in float64.

Every function raises ValueError, in one line, on a wrong shape or a non-finite value.
"""

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import (
    CHUNK,
    check_level,
    check_vector,
    quantiles,
    resample_weights,
    rows_of,
)


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


def wilson_bounds(
    share: Float[Tensor, "*cells"], n: float | Float[Tensor, "*cells"], level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Score interval (low, high) of a share in [0, 1] seen in n trials (Wilson 1927)."""
    check_level(level)
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2).sqrt() / (1 + z2 / n)
    # Rounding alone could put the bound past a share of exactly 0 or 1.
    return torch.minimum(share, centre - half).clamp_min(0), torch.maximum(share, centre + half)


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Share successes / n with its score interval (Wilson 1927)."""
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
    """The share of true flags with its score interval, of as many trials as there are groups.

    By default every flag is a trial. Flags that belong together (of one key; of one prompt with
    several words) are of one group: exact where a group is alike, conservative where it is not.
    """
    if not flags:
        raise ValueError("expected at least one answer, got none; ask a prompt")
    n = len(flags) if groups is None else len(set(groups))
    return share_interval(torch.tensor(sum(flags) / len(flags), dtype=torch.float64), n, level)


def newcombe(rate: Estimate, other: Estimate) -> Estimate:
    """``rate`` minus ``other``, independent shares with their score intervals.

    Newcombe 1998, method 10: the intervals' halves are added as squares. ``n`` is the smaller one.
    """
    value = rate.value - other.value
    low = math.hypot(rate.value - rate.low, other.high - other.value)
    high = math.hypot(rate.high - rate.value, other.value - other.low)
    n = min(rate.n, other.n)
    return Estimate(value, value - low, value + high, n, rate.level, "Newcombe hybrid score")


def bootstrap_means(
    values: Float[Tensor, "*cells n"], resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Percentile bootstrap (low, high) of each cell's mean (Efron 1979), in the values' unit.

    One set of resampled example indices serves all cells, so the cells stay paired.
    Memory: 8 * n * resamples bytes, plus a bounded block of cells.
    """
    rows = rows_of(values, "values", at_least=2)
    low, high = _percentiles(rows, resample_weights(rows, resamples, seed), level)
    mean = rows.mean(-1)
    low, high = torch.minimum(low, mean), torch.maximum(high, mean)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def mean_interval(
    values: Float[Tensor, "n"], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of `values` with its percentile bootstrap interval, in their unit."""
    check_vector(values, "values")
    low, high = bootstrap_means(values, resamples, seed, level)
    mean = values.to(torch.float64).mean().item()
    return Estimate(mean, low.item(), high.item(), len(values), level, "percentile bootstrap")


def difference_interval(
    a: Float[Tensor, "n"],
    b: Float[Tensor, "n"],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean of a - b over examples, resampling the pairs (a_i, b_i) together."""
    check_vector(a, "a")
    expect(
        a.shape == b.shape,
        "a and b of one shape [n]",
        f"{tuple(a.shape)} and {tuple(b.shape)}",
        "pair them by example",
    )
    return mean_interval(a.to(torch.float64) - b.to(torch.float64), level, resamples, seed)


def recovery_intervals(
    effects: Float[Tensor, "*cells n"],
    full: Float[Tensor, "n"],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """(value, low, high) of mean(effects) / mean(full) per cell, examples resampled in pairs.

    Unitless; 1 is full recovery. Raises ValueError where the bootstrap interval of mean(full)
    reaches 0, because the confidence set of a ratio is then unbounded (Fieller 1954).
    """
    rows = rows_of(effects, "effects", at_least=2)
    check_vector(full, "full")
    whole = rows_of(full, "full", at_least=2)
    expect(
        rows.shape[-1] == whole.shape[-1],
        "effects and full over the same examples",
        f"{rows.shape[-1]} and {whole.shape[-1]} examples",
        "pair them",
    )
    weights = resample_weights(rows, resamples, seed)
    lowest, base, highest = _denominator(whole, weights, level)
    expect(
        not lowest <= 0 <= highest,
        "a denominator mean away from 0",
        f"{base:.3g} in [{lowest:.3g}, {highest:.3g}]",
        "use differences",
    )
    scale = (whole @ weights).squeeze(0)
    value = rows.mean(-1) / base
    low, high = _percentiles(rows, weights, level, scale)
    low, high = torch.minimum(low, value), torch.maximum(high, value)
    cells = effects.shape[:-1]
    return value.reshape(cells), low.reshape(cells), high.reshape(cells)


def is_scale(
    full: Float[Tensor, "n"], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> bool:
    """Whether `recovery_intervals` accepts `full`: the interval of its mean does not reach 0."""
    check_vector(full, "full")
    whole = rows_of(full, "full", at_least=2)
    low, _, high = _denominator(whole, resample_weights(whole, resamples, seed), level)
    return not low <= 0 <= high


def _denominator(
    whole: Float[Tensor, "1 n"], weights: Float[Tensor, "n resamples"], level: float
) -> tuple[float, float, float]:
    """(low, mean, high) of a ratio's denominator; a bound that is only rounding counts as 0."""
    mean = whole.mean().item()
    low, high = (bound.item() for bound in _percentiles(whole, weights, level))
    floor = 1e-9 * whole.abs().max().item()
    low, high = min(low, mean), max(high, mean)
    return 0.0 if abs(low) <= floor else low, mean, 0.0 if abs(high) <= floor else high


def _percentiles(
    rows: Float[Tensor, "cells n"],
    weights: Float[Tensor, "n resamples"],
    level: float,
    scale: Float[Tensor, "resamples"] | None = None,
) -> tuple[Float[Tensor, "cells"], Float[Tensor, "cells"]]:
    """Central `level` interval over resamples of rows @ weights (/ scale).

    A resample whose scale is 0 is undefined and left out.
    """
    check_level(level)
    if scale is not None:
        weights, scale = weights[:, scale != 0], scale[scale != 0]
    blocks = (part @ weights for part in rows.split(max(1, CHUNK // weights.shape[-1])))
    scaled = (block if scale is None else block / scale for block in blocks)
    tails = ((1 - level) / 2, (1 + level) / 2)
    bounds = np.concatenate([quantiles(block.cpu().numpy(), tails) for block in scaled], axis=-1)
    low, high = torch.from_numpy(bounds).to(rows.device)
    return low, high
