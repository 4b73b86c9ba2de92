"""Bounds and p values of means and of ratios of means, of thousands of cells at once.

A studentised mean is compared with Student's t twice: as it is, and after Hall's transformation
(1992, JRSS B 54, 221-228), a monotone cubic that takes out the skewness of the sample. The wider
of the two ends counts. Student's t alone covers 83 to 90 % of skewed means at n = 8, Hall's alone
falls short under heavy tails; percentile bootstraps fall short everywhere at small n, and the
studentised bootstrap covers as this does or less, with resampling (``docs/results/coverage.md``).

Values that belong together (of one template, one word) are one unit: the variance is the
cluster-robust CR2 of a mean with Satterthwaite's degrees of freedom (Bell & McCaffrey 2002, Survey
Methodology 28, 169-181), which for units of one size is that of the units' means. The skewness is
that of the units.

Where all values are alike there is no variance to learn from: the interval has no width, and p is
that of the sign test, 2^(1 - n); 1 where they are 0. Arithmetic is in float64.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import check_level, rows_of

Bounds = tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]
_ROUNDING = 1e-12  # of the largest value: a spread below it is no spread


@dataclass(frozen=True)
class Units:
    """Means of rows as sums over independent units.

    Attributes:
        mean: of each row.
        parts: each unit's share of the mean's error, times the number of units; centred on 0, and
            scaled so that the mean square over units is units times the squared standard error.
        freedom: degrees of freedom of the standard error.
    """

    mean: Float[Tensor, "cells"]
    parts: Float[Tensor, "cells units"]
    freedom: float

    @property
    def count(self) -> int:
        return self.parts.shape[-1]

    @property
    def error(self) -> Float[Tensor, "cells"]:
        """The standard error of the mean."""
        return (self.parts.square().mean(-1) / self.count).sqrt()


def units_of(rows: Float[Tensor, "cells n"], groups: Int[Tensor, "n"] | None = None) -> Units:
    """The mean of every row, over single values or over groups of them.

    Raises:
        ValueError: fewer than two units, or not one group for each value.
    """
    n = rows.shape[-1]
    member = torch.arange(n) if groups is None else groups.unique(return_inverse=True)[1].cpu()
    expect(
        len(member) == n, f"one group for each of {n} values", len(member), "number them", "groups"
    )
    sizes = torch.bincount(member).to(rows)
    expect(len(sizes) >= 2, "2 or more groups", len(sizes), "add some", "groups")
    mean = rows.mean(-1)
    sums = torch.zeros(len(rows), len(sizes)).to(rows)
    sums.index_add_(1, member.to(rows.device), rows - mean[:, None])
    share = sizes / n
    # Working model: independent values of one variance (Bell & McCaffrey, eq. 5, for a mean).
    cross = torch.outer(sizes / (1 - share).sqrt(), sizes / (1 - share).sqrt()) / n
    cross.fill_diagonal_(0.0)
    freedom = n**2 / float(sizes.square().sum() + cross.square().sum())
    return Units(mean, len(sizes) * sums / (n * (1 - share).sqrt()), freedom)


def mean_bounds(
    values: Float[Tensor, "*cells n"],
    level: float = 0.95,
    groups: Int[Tensor, "n"] | None = None,
) -> Bounds:
    """(low, high) of each cell's mean, in the values' unit.

    Args:
        groups: values of one number belong together.

    Raises:
        ValueError: fewer than two values or groups, or a value that is not finite.
    """
    units = units_of(rows_of(values, "values", at_least=2), groups)
    low, high = _ends(units, level)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def mean_p(
    values: Float[Tensor, "*cells n"], groups: Int[Tensor, "n"] | None = None
) -> Float[Tensor, "*cells"]:
    """Two-sided p, per cell, that the mean is 0: the level at which `mean_bounds` reaches 0.

    Raises:
        ValueError: as `mean_bounds`.
    """
    rows = rows_of(values, "values", at_least=2)
    units = units_of(rows, groups)
    count, (square, cube) = units.count, _moments(units)
    alike = square.sqrt() <= _ROUNDING * rows.abs().amax(-1)
    error = torch.where(alike, 1.0, units.error)
    size = units.mean / error / math.sqrt(count)
    skew = torch.where(alike, 0.0, _skew(torch.where(alike, 1.0, square), cube, count))
    bent = size + skew * size**2 / 3 + skew**2 * size**3 / 27 + skew / (6 * count)
    least = torch.minimum(size.abs(), bent.abs()) * math.sqrt(count)
    p = torch.as_tensor(2 * student.sf(least.cpu().numpy(), units.freedom)).to(rows)
    constant = torch.where(units.mean == 0, 1.0, 2.0 ** (1 - count))
    return torch.where(alike, constant, p).reshape(values.shape[:-1])


def ratio_bounds(
    above: Float[Tensor, "*cells n"],
    below: Float[Tensor, "*whole n"],
    level: float = 0.95,
    groups: Int[Tensor, "n"] | None = None,
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """(value, low, high) of mean(above) / mean(below) per cell, paired by example.

    The wider of Fieller's ends (1954), where the mean of above - R below may be 0 by Student's t,
    and those of the linearised ratio by `mean_bounds`, which follow its skewness.

    Args:
        below: of all cells, [n], or of each.

    Raises:
        ValueError: as `mean_bounds`, other examples, or a denominator whose interval reaches 0: the
            ratios that are left have no bound.
    """
    rows = rows_of(above, "effects", at_least=2)
    whole = rows_of(below, "full", at_least=2)
    expect(
        rows.shape[-1] == whole.shape[-1],
        "effects and full over the same examples",
        f"{rows.shape[-1]} and {whole.shape[-1]} examples",
        "pair them",
    )
    base = units_of(whole, groups)
    lowest, highest = _ends(base, level)
    expect(
        not reaches_zero(lowest, highest, whole).any(),
        "a denominator mean away from 0",
        f"{float(base.mean[0]):.3g} in [{float(lowest[0]):.3g}, {float(highest[0]):.3g}]",
        "use differences",
    )
    value, units = rows.mean(-1) / base.mean, units_of(rows, groups)
    # What is left of the numerator when the ratio is taken out, over the denominator.
    other = base.parts / base.mean[:, None]
    rest = replace(
        units, mean=value, parts=units.parts / base.mean[:, None] - value[:, None] * other
    )
    own = base.error / base.mean
    both = (rest.parts * other).mean(-1) / rest.count
    low, high = _ends(rest, level)
    t2 = float(student.ppf((1 + level) / 2, rest.freedom)) ** 2
    shift = -t2 * both
    half = (shift.square() + (1 - t2 * own**2) * t2 * rest.error.square()).sqrt()
    low = torch.minimum(low, value + (shift - half) / (1 - t2 * own**2))
    high = torch.maximum(high, value + (shift + half) / (1 - t2 * own**2))
    cells = above.shape[:-1]
    return value.reshape(cells), low.reshape(cells), high.reshape(cells)


def reaches_zero(
    low: Float[Tensor, "cells"], high: Float[Tensor, "cells"], rows: Float[Tensor, "cells n"]
) -> Bool[Tensor, "cells"]:
    """Whether intervals hold 0; a bound that is only rounding of the values is 0."""
    floor = 1e-9 * rows.abs().amax(-1)
    return (low <= floor) & (high >= -floor)


def _ends(units: Units, level: float) -> Bounds:
    moments = _moments(units)
    low, high = (_end(side, units.mean, *moments, units, level) for side in (-1, 1))
    return low, high


def _moments(units: Units) -> Bounds:
    """Mean square and mean cube of the units' parts."""
    return units.parts.square().mean(-1), (units.parts**3).mean(-1)


def _skew(
    square: Float[Tensor, "cells"], cube: Float[Tensor, "cells"], count: int
) -> Float[Tensor, "cells"]:
    """The sample's skewness G1 (Joanes & Gill 1998); 0 for two units, which have none."""
    scale = math.sqrt(count * (count - 1)) / (count - 2) if count > 2 else 0.0
    square = square.clamp_min(1e-200)
    return scale * cube / (square * square.sqrt())


def _end(
    side: int,
    mean: Float[Tensor, "cells"],
    square: Float[Tensor, "cells"],
    cube: Float[Tensor, "cells"],
    units: Units,
    level: float,
) -> Float[Tensor, "cells"]:
    """The wider of Student's end and Hall's, on one side (-1 low, 1 high)."""
    check_level(level)
    count = units.count
    size = -side * float(student.ppf((1 + level) / 2, units.freedom)) / math.sqrt(count)
    skew = _skew(square, cube, count)
    # Hall's: what the cubic takes to ``size``.
    none = skew.abs() < 1e-6
    safe = torch.where(none, 1.0, skew)
    inner = (1 + safe * (size - safe / (6 * count))).cpu().numpy()
    bent = torch.where(none, size, 3 * (torch.as_tensor(np.cbrt(inner)).to(skew) - 1) / safe)
    return mean - square.sqrt() * (bent.clamp_max(size) if side > 0 else bent.clamp_min(size))
