"""Intervals, permutation tests and AUROC over plain tensors; all arithmetic is in float64.

Every function raises ValueError, in one line, on a wrong shape or a non-finite value.
"""

import math
from dataclasses import asdict, dataclass, fields
from statistics import NormalDist
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CHUNK = 2**22  # elements of a [cells, resamples] block: 32 MiB in float64
_EXACT_N = 12  # up to 4096 sign patterns are enumerated rather than sampled


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at confidence `level`, from `n` examples by `method`.

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
        if not self.low - slack <= self.value <= self.high + slack:  # also catches NaN
            got = f"{self.low}, {self.value}, {self.high}"
            raise ValueError(f"expected low <= value <= high, got {got}; check the interval")
        if self.n < 1:
            raise ValueError(f"expected n >= 1 examples, got {self.n}; pass the sample size")
        _check_level(self.level)

    def to_json(self) -> dict[str, Any]:
        """The fields as a flat dict of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Estimate":
        """The inverse of `to_json`; ValueError on missing or unknown keys."""
        known = {field.name for field in fields(cls)}
        if not {"value", "low", "high", "n"} <= set(data) <= known:
            wanted, got = sorted(known), sorted(data)
            raise ValueError(f"expected keys {wanted}, got {got}; pass what to_json returned")
        return cls(**data)

    def __str__(self) -> str:
        width = self.high - self.low
        digits = max(2, -math.floor(math.log10(width))) if 0 < width < math.inf else 2
        value, low, high = (f"{v:.{digits}f}" for v in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}] (n={self.n})"


def wilson_bounds(
    share: Float[Tensor, "*cells"], n: float | Float[Tensor, "*cells"], level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Score interval (low, high) of a share in [0, 1] seen in n trials (Wilson 1927)."""
    _check_level(level)
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2).sqrt() / (1 + z2 / n)
    # Rounding alone could put the bound past a share of exactly 0 or 1.
    return torch.minimum(share, centre - half).clamp_min(0), torch.maximum(share, centre + half)


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """Share successes / n with its score interval (Wilson 1927)."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes}, {n}; recount")
    share = torch.tensor(successes / n, dtype=torch.float64)
    low, high = wilson_bounds(share, n, level)
    return Estimate(share.item(), low.item(), high.item(), n, level, "Wilson score")


def bootstrap_means(
    values: Float[Tensor, "*cells n"], resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[Float[Tensor, "*cells"], Float[Tensor, "*cells"]]:
    """Percentile bootstrap (low, high) of each cell's mean (Efron 1979), in the values' unit.

    One set of resampled example indices serves all cells, so the cells stay paired.
    Memory: 8 * n * resamples bytes, plus a bounded block of cells.
    """
    rows = _rows(values, "values", at_least=2)
    low, high = _percentiles(rows, _resample_weights(rows, resamples, seed), level)
    mean = rows.mean(-1)
    low, high = torch.minimum(low, mean), torch.maximum(high, mean)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def mean_interval(
    values: Float[Tensor, "n"], level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of `values` with its percentile bootstrap interval, in their unit."""
    _vector(values, "values")
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
    _vector(a, "a")
    if a.shape != b.shape:
        got = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"expected a and b of one shape [n], got {got}; pair them by example")
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
    rows = _rows(effects, "effects", at_least=2)
    _vector(full, "full")
    whole = _rows(full, "full", at_least=2)
    if rows.shape[-1] != whole.shape[-1]:
        got = f"{rows.shape[-1]} and {whole.shape[-1]} examples"
        raise ValueError(f"expected effects and full over the same examples, got {got}; pair them")
    weights = _resample_weights(rows, resamples, seed)
    base = whole.mean()
    lowest, highest = (bound.item() for bound in _percentiles(whole, weights, level))
    floor = 1e-9 * whole.abs().max().item()
    if min(lowest, base.item()) <= floor and max(highest, base.item()) >= -floor:
        got = f"{base.item():.3g} in [{lowest:.3g}, {highest:.3g}]"
        raise ValueError(f"expected a denominator mean away from 0, got {got}; use differences")
    scale = (whole @ weights).squeeze(0)
    scale = torch.where(scale == 0, torch.nan, scale)  # an undefined resample is left out
    value = rows.mean(-1) / base
    low, high = _percentiles(rows, weights, level, scale)
    low, high = torch.minimum(low, value), torch.maximum(high, value)
    cells = effects.shape[:-1]
    return value.reshape(cells), low.reshape(cells), high.reshape(cells)


def ratio_interval(
    numerator: Float[Tensor, "n"],
    denominator: Float[Tensor, "n"],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """mean(numerator) / mean(denominator), paired; ValueError as in `recovery_intervals`."""
    _vector(numerator, "numerator")
    bounds = recovery_intervals(numerator, denominator, level, resamples, seed)
    value, low, high = (bound.item() for bound in bounds)
    return Estimate(value, low, high, len(numerator), level, "paired percentile bootstrap")


def sign_flip_p(
    effects: Float[Tensor, "*cells n"], permutations: int = 2000, seed: int = 0
) -> Float[Tensor, "*cells"]:
    """Two-sided p, per cell, that the effects are symmetric about 0; statistic |mean|.

    All 2^n sign patterns for n <= 12 (Fisher 1935); otherwise sampled ones shared by all
    cells, with p = (k + 1) / (m + 1) (Phipson & Smyth 2010). All-zero effects give p = 1.
    """
    rows = _rows(effects, "effects")
    n = rows.shape[-1]
    if n <= _EXACT_N:
        bits = (torch.arange(2**n) >> torch.arange(n)[:, None]) & 1
    else:
        bits = torch.randint(0, 2, (n, _positive(permutations)), generator=_generator(seed))
    signs = (2 * bits - 1).to(rows)
    extra = 0 if n <= _EXACT_N else 1
    # The slack makes sums that tie on paper tie in floating point.
    bar = rows.sum(-1).abs() - 1e-12 * rows.abs().sum(-1)
    step = max(1, _CHUNK // signs.shape[-1])
    pairs = zip(rows.split(step), bar.split(step), strict=True)
    counts = torch.cat([((part @ signs).abs() >= b[:, None]).sum(-1) for part, b in pairs])
    p = (counts + extra).to(torch.float64) / (signs.shape[-1] + extra)
    return p.reshape(effects.shape[:-1])


def benjamini_hochberg(p: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """Adjusted p values q over all finite cells; NaN stays NaN (Benjamini & Hochberg 1995)."""
    flat = p.to(torch.float64).flatten()
    kept = ~flat.isnan()
    if not ((flat[kept] >= 0) & (flat[kept] <= 1)).all():
        raise ValueError("expected p values in [0, 1] or NaN, got one outside; pass p, not scores")
    ordered, order = flat[kept].sort(descending=True)
    m = len(ordered)
    ranks = torch.arange(m, 0, -1, dtype=torch.float64, device=flat.device)
    adjusted = ordered * m / ranks
    if m:
        adjusted = adjusted.cummin(0).values
    q = flat.clone()
    q[kept.nonzero().squeeze(-1)[order]] = adjusted
    return q.reshape(p.shape)


def auroc_values(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> Float[Tensor, "sites"]:
    """P(positive scores above negative), ties counting half, per site (Mann & Whitney 1947)."""
    return _placements(*_split(scores, labels)).mean(-1)


def auroc(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"], level: float = 0.95) -> Estimate:
    """AUROC of one score with an interval that stays honest at 0 and 1.

    The DeLong et al. (1988) variance sets an effective sample size a(1 - a) / variance for the
    Wilson form. It is at least the smaller class, the bound of Birnbaum & Klose (1957), which
    alone counts at a = 0 or 1, where DeLong's own interval has width 0.
    """
    _vector(scores, "scores")
    high_side, low_side = _split(scores[None], labels)
    above = _placements(high_side, low_side)
    area = above.mean()
    parts = (above, 1 - _placements(low_side, high_side))
    smaller = min(part.shape[-1] for part in parts)
    effective = torch.tensor(float(smaller), dtype=torch.float64, device=area.device)
    if smaller > 1:
        variance = torch.stack([part.var() / part.shape[-1] for part in parts]).sum()
        if variance > 0:
            effective = (area * (1 - area) / variance).clamp_min(smaller)
    low, high = wilson_bounds(area, effective, level)
    return Estimate(area.item(), low.item(), high.item(), len(labels), level, "DeLong-Wilson")


def _placements(
    positive: Float[Tensor, "sites p"], negative: Float[Tensor, "sites m"]
) -> Float[Tensor, "sites p"]:
    """For each positive, the share of negatives below it, ties counting half."""
    reference = negative.sort(-1).values
    below = torch.searchsorted(reference, positive)
    not_above = torch.searchsorted(reference, positive, right=True)
    return (below + not_above).to(torch.float64) / (2 * negative.shape[-1])


def _split(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> tuple[Float[Tensor, "sites p"], Float[Tensor, "sites m"]]:
    """The scores of the positive and of the negative class, checked."""
    if scores.ndim != 2 or labels.dtype != torch.bool or labels.shape != scores.shape[-1:]:
        got = f"{tuple(scores.shape)} and {labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"expected scores [sites, n] and bool labels [n], got {got}; reshape them")
    if labels.all() or not labels.any():
        raise ValueError(f"expected both classes, got one in {len(labels)} labels; add the other")
    rows = _rows(scores, "scores")
    return rows[:, labels].contiguous(), rows[:, ~labels].contiguous()


def _percentiles(
    rows: Float[Tensor, "cells n"],
    weights: Float[Tensor, "n resamples"],
    level: float,
    scale: Float[Tensor, "resamples"] | None = None,
) -> tuple[Float[Tensor, "cells"], Float[Tensor, "cells"]]:
    """Central `level` interval over resamples of rows @ weights (/ scale), NaN left out."""
    _check_level(level)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=rows.dtype, device=rows.device)
    blocks = (part @ weights for part in rows.split(max(1, _CHUNK // weights.shape[-1])))
    scaled = (block if scale is None else block / scale for block in blocks)
    low, high = torch.cat([torch.nanquantile(block, tails, dim=-1) for block in scaled], dim=-1)
    return low, high


def _resample_weights(
    rows: Float[Tensor, "cells n"], resamples: int, seed: int
) -> Float[Tensor, "n resamples"]:
    """Each column: the share of one with-replacement resample that each example makes up."""
    n = rows.shape[-1]
    index = torch.randint(n, (n, _positive(resamples)), generator=_generator(seed))
    shares = torch.full(index.shape, 1 / n, dtype=torch.float64)
    return torch.zeros_like(shares).scatter_add_(0, index, shares).to(rows.device)


def _rows(
    values: Float[Tensor, "*cells n"], name: str, at_least: int = 1
) -> Float[Tensor, "cells n"]:
    """`values` flattened to float64 [cells, n]; ValueError if too few, empty or not finite."""
    if values.ndim < 1 or values.shape[-1] < at_least or values.numel() == 0:
        shape = tuple(values.shape)
        raise ValueError(f"expected {name} [..., n >= {at_least}], got {shape}; add examples")
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise ValueError(f"expected finite {name}, got {bad} NaN or infinite; drop those examples")
    return values.to(torch.float64).reshape(-1, values.shape[-1])


def _vector(values: Float[Tensor, "n"], name: str) -> None:
    if values.ndim != 1:
        raise ValueError(f"expected {name} [n], got {tuple(values.shape)}; pass one cell at a time")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}; pass 0.95 for 95 %")


def _positive(count: int) -> int:
    if count < 1:
        raise ValueError(f"expected at least 1 resample, got {count}; pass about 2000")
    return count


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
