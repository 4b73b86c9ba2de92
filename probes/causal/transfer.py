"""How fast behaviour rises with dose: a logistic fitted to it, with intervals over prompts.

The mean over prompts is fitted by least squares with

    lower + (upper - lower) / (1 + exp(-slope * (dose - threshold))),

where slope > 0, so that ``lower`` and ``upper`` are the asymptotes far below and far above the
threshold (a falling curve has upper < lower). For a given threshold and slope the asymptotes are a
linear regression in closed form, so only two parameters are searched: on a grid, then on ever finer
grids around the best point (variable projection, Golub & Pereyra 1973). Every bootstrap resample of
the prompts is fitted in the same matrix products. There is no starting point to depend on.

The width of the rise from 10 % to 90 % is ln(81) / slope, in units of the dose. The doses cannot
resolve a width below their spacing, and a mean over prompts with different thresholds is wider than
any one prompt's curve, so the width is an upper bound.

In probability this says nothing of a switch: a softmax over a line rises like this too. Whether a
gate is one is asked in log-odds (``probes.causal.dose_shape``).

A curve is flat, and has no fit, where permuting every prompt's values over the doses explains the
means as well as their order does (p > 0.05).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import at_least_one, check_level, check_vector, generator, rows_of
from probes.stats.intervals import Estimate, drawn_interval

_RISE = math.log(81)  # slope times the width between 10 % and 90 %
_THRESHOLDS, _SLOPES, _ROUNDS, _FINE = 81, 41, 6, 7
_FLAT = 0.05
_METHOD = "percentile bootstrap of a logistic fit"


@dataclass(frozen=True)
class LogisticFit:
    """A logistic through the mean of a transfer curve; intervals resample the prompts.

    Attributes:
        lower, upper: asymptotes far below and far above the threshold, in the metric's unit.
        rise: upper minus lower.
        threshold: the dose halfway between the asymptotes.
        slope: steepness per unit of dose.
        width: dose from 10 % to 90 % of the rise, ln(81) / slope.
        r2_logistic, r2_linear: share of the means' variance that the logistic explains, and a
            straight line.
        p_flat: of the permutation test for a flat curve.
        spacing: the largest distance between neighbouring doses, below which no width is resolved.
    """

    lower: Estimate
    upper: Estimate
    rise: Estimate
    threshold: Estimate
    slope: Estimate
    width: Estimate
    r2_logistic: float
    r2_linear: float
    p_flat: float
    spacing: float

    @property
    def is_resolved(self) -> bool:
        """Whether the width is above the doses' spacing; otherwise it is only known to be below."""
        return self.width.value > self.spacing

    def curve(self, coefficients: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
        """The fitted logistic at any doses."""
        x = coefficients.to(torch.float64) - self.threshold.value
        return self.lower.value + self.rise.value * torch.sigmoid(self.slope.value * x)


def fit_logistic(
    coefficients: Float[Tensor, " c"],
    values: Float[Tensor, "c n"],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> LogisticFit | None:
    """Fit a logistic to the mean over prompts; None where the curve is flat.

    Args:
        coefficients: at least five different doses, rising.
        values: the metric of every dose and prompt.

    Raises:
        ValueError: too few doses or prompts, doses that do not rise, or a value that is not finite.
    """
    x, y = checked(coefficients, values)
    check_level(level)
    search = Search(x)
    mean = y.mean(dim=1)
    p_flat = _flatness(search, y, at_least_one(resamples), seed)
    if p_flat > _FLAT:
        return None
    best, explained = search.fit(mean.unsqueeze(0))
    n = y.shape[1]
    drawn = torch.randint(n, (resamples, n), generator=generator(seed))
    spreads, _ = search.fit(torch.stack([y[:, index].mean(dim=1) for index in drawn]))
    estimates = {
        name: drawn_interval(float(value), spreads[name], n, _METHOD, level)
        for name, value in best.items()
    }
    spread = (mean - mean.mean()).square().sum()
    return LogisticFit(
        **estimates,
        r2_logistic=float(explained[0] / spread),
        r2_linear=float(torch.corrcoef(torch.stack([x, mean]))[0, 1] ** 2),
        p_flat=p_flat,
        spacing=float(x.diff().max()),
    )


class Search:
    """Least squares over thresholds within the doses, and widths from 1/4 step to twice the range.

    Wider logistics are straight lines over the doses, and narrower ones are steps.
    """

    def __init__(self, x: Float[Tensor, " c"]) -> None:
        reach = float(x[-1] - x[0])
        self.x = x
        self.low = (float(x[0]), math.log(_RISE / (2 * reach)))
        self.high = (float(x[-1]), math.log(4 * _RISE / float(x.diff().min())))
        axes = [
            torch.linspace(a, b, count, dtype=x.dtype)
            for a, b, count in zip(self.low, self.high, (_THRESHOLDS, _SLOPES), strict=True)
        ]
        self.grid = torch.cartesian_prod(*axes)  # threshold, log slope
        self.steps = [float(axis[1] - axis[0]) for axis in axes]

    def explained(self, rows: Float[Tensor, "rows c"]) -> Float[Tensor, " rows"]:
        """The largest explained sum of squares on the coarse grid."""
        return self._coarse(rows).amax(dim=1)

    def fit(
        self, rows: Float[Tensor, "rows c"]
    ) -> tuple[dict[str, Float[Tensor, " rows"]], Float[Tensor, " rows"]]:
        """The best logistic of every row, by `LogisticFit`'s names, and what it explains."""
        point = self.grid[self._coarse(rows).argmax(dim=1)]
        offsets = torch.linspace(-1, 1, _FINE, dtype=rows.dtype)
        around = torch.cartesian_prod(offsets, offsets)
        size = torch.tensor(self.steps, dtype=rows.dtype)
        low, high = (torch.tensor(bound, dtype=rows.dtype) for bound in (self.low, self.high))
        for _ in range(_ROUNDS):
            near = (point[:, None] + around * size).clamp(low, high)
            shapes = _centred(self._shapes(near))
            gains = _gain(torch.einsum("rpc,rc->rp", shapes, rows), shapes.square().sum(dim=-1))
            point = near[torch.arange(len(rows)), gains.argmax(dim=1)]
            size = size * 2 / (_FINE - 1)
        shape = self._shapes(point)
        flat = _centred(shape)
        rise = (flat * rows).sum(dim=1) / flat.square().sum(dim=1)
        lower = rows.mean(dim=1) - rise * shape.mean(dim=1)
        explained = rise.square() * flat.square().sum(dim=1)
        threshold, slope = point[:, 0], point[:, 1].exp()
        fits = {"lower": lower, "upper": lower + rise, "rise": rise}
        return {**fits, "threshold": threshold, "slope": slope, "width": _RISE / slope}, explained

    def _coarse(self, rows: Float[Tensor, "rows c"]) -> Float[Tensor, "rows points"]:
        shapes = _centred(self._shapes(self.grid))
        return _gain(rows @ shapes.T, shapes.square().sum(dim=1))

    def _shapes(self, points: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows c"]:
        threshold, slope = points[..., :1], points[..., 1:].exp()
        return torch.sigmoid(slope * (self.x - threshold))


def _centred(shapes: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows c"]:
    return shapes - shapes.mean(dim=-1, keepdim=True)


def _gain(
    product: Float[Tensor, "*rows points"], size: Float[Tensor, "*shape points"]
) -> Float[Tensor, "*rows points"]:
    """Sum of squares that a regression on one centred shape explains; a flat shape explains 0."""
    return torch.where(size > 1e-12, product.square() / size.clamp_min(1e-12), 0.0)


def _flatness(search: Search, y: Float[Tensor, "c n"], times: int, seed: int) -> float:
    """p value of the means' order, each prompt's values permuted over the doses on its own."""
    mean = y.mean(dim=1, keepdim=True).T
    noise = 1e-9 * float(y.abs().max())
    if float(mean.max() - mean.min()) <= noise:
        return 1.0
    draws = generator(seed)
    shuffled = torch.stack(
        [
            y.gather(0, torch.rand(y.shape, generator=draws).argsort(dim=0)).mean(dim=1)
            for _ in range(times)
        ]
    )
    reached = search.explained(shuffled) >= search.explained(mean) * (1 - 1e-9)
    return (1 + int(reached.sum())) / (1 + times)


def checked(
    coefficients: Float[Tensor, " c"], values: Float[Tensor, "c n"]
) -> tuple[Float[Tensor, " c"], Float[Tensor, "c n"]]:
    """Doses and values in float64, if they can be fitted; ValueError otherwise."""
    check_vector(coefficients, "coefficients")
    expect(
        values.ndim == 2 and len(values) == len(coefficients),
        "values [c, n]",
        f"{tuple(values.shape)} for {len(coefficients)} coefficients",
        "give one row per coefficient",
    )
    x = rows_of(coefficients, "coefficients", at_least=5)[0]
    expect(bool((x.diff() > 0).all()), "rising coefficients", x.tolist(), "sort them")
    return x, rows_of(values, "values", at_least=2)
