"""Intervals of statistics that a bootstrap with replacement would spoil.

A resample with replacement holds examples twice, at distance 0 of themselves. What is made of
distances or inner products between examples (participation ratio, MMD, Vendi score, nearest
neighbours) is biased by that. So their intervals come from leaving examples out (the jackknife,
which is exact to first order for functions of U-statistics: Arvesen 1969), from derivatives in the
examples' weights (the infinitesimal jackknife, Jaeckel 1972), or from subsamples without
replacement (Politis & Romano 1994); the ends are Student's t, and on the logarithm for ratios.
"""

import math

import torch
from jaxtyping import Float, Int
from scipy.stats import t
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import generator
from probes.stats.intervals import Estimate, estimates

Estimates = tuple[Estimate, ...]  # one per site


def jackknife_error(left_out: Float[Tensor, "sites n"]) -> Float[Tensor, "sites"]:
    """Standard error from the n values of a statistic without one example each (Tukey 1958)."""
    n = left_out.shape[-1]
    return (left_out.var(-1, unbiased=False) * (n - 1)).sqrt()


def halves(n: int, draws: int, seed: int) -> list[Int[Tensor, "half"]]:
    """Random halves of n examples, drawn without replacement.

    The spread of a statistic over halves about their mean is that of the whole set's value (the
    delete-half jackknife, Shao & Wu 1989).

    Raises:
        UserError: fewer than two draws.
    """
    expect(draws >= 2, "at least 2", draws, "pass about 50", "halves")
    source = generator(seed)
    return [torch.randperm(n, generator=source)[: n // 2] for _ in range(draws)]


def around(
    value: Float[Tensor, "sites"],
    error: Float[Tensor, "sites"],
    n: int,
    method: str,
    level: float = 0.95,
) -> Estimates:
    """value -+ t * error with n - 1 degrees of freedom, in the unit of the value."""
    half = student(n, level) * error
    return estimates(value, value - half, value + half, n, method, level)


def around_log(
    value: Float[Tensor, "sites"],
    log_error: Float[Tensor, "sites"],
    n: int,
    method: str,
    level: float = 0.95,
) -> Estimates:
    """value times or over exp(t * error of its logarithm), for values above 0."""
    factor = (student(n, level) * log_error).exp()
    return estimates(value, value / factor, value * factor, n, f"{method}, log scale", level)


def student(n: int, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t with n - 1 degrees of freedom."""
    return float(t.ppf((1 + level) / 2, n - 1))


def combined(parts: tuple[Estimate, ...], weights: tuple[float, ...], method: str) -> Estimate:
    """Weighted sum of independent estimates by MOVER (Zou, Huang & Zhang 2009).

    Each end moves by the root of the summed squares of the parts' own distances to their ends, so
    that an interval which is not symmetric stays so.

    Raises:
        UserError: no parts, or another number of weights.
    """
    expect(
        parts and len(parts) == len(weights),
        "as many weights as parts",
        f"{len(parts)} parts and {len(weights)} weights",
        "give one each",
        "combined",
    )
    value, below, above = 0.0, 0.0, 0.0
    for part, weight in zip(parts, weights, strict=True):
        value += weight * part.value
        down, up = part.value - part.low, part.high - part.value
        down, up = (down, up) if weight >= 0 else (up, down)
        below += (weight * down) ** 2
        above += (weight * up) ** 2
    n = sum(part.n for part in parts)
    low, high = value - math.sqrt(below), value + math.sqrt(above)
    return Estimate(value, low, high, n, parts[0].level, method)
