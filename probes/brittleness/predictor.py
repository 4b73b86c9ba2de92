"""A fitted line to use on organisms that come later, and whether they are like those it knows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from circuits.errors import UserError, expect
from probes.brittleness.learners import Logistic, Ridge
from probes.brittleness.nested import tuned
from probes.brittleness.table import Table


@dataclass(frozen=True)
class Predictor:
    """A linear prediction of retention or, through the logistic function, of a loss.

    Attributes:
        predicts: "area" (of retention, cut to 0..1) or "lost" (probability).
        means, scales: of the training features; a missing feature counts as its mean.
        coefficients: per scale of each feature.
        lows, highs: range of each feature in training.
    """

    predicts: Literal["area", "lost"]
    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    def predict(self, features: Mapping[str, float]) -> float:
        """The area of retention, or the probability of a loss.

        Raises:
            UserError: a feature the fit knows is not among those given.
        """
        parts = zip(self._values(features), self.means, self.scales, self.coefficients, strict=True)
        score = self.intercept + sum(
            weight * (value - mean) / scale
            for value, mean, scale, weight in parts
            if not math.isnan(value)
        )
        if self.predicts == "area":
            return min(max(score, 0.0), 1.0)
        return 0.5 * (1 + math.tanh(score / 2))

    def outside(self, features: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the features below or above everything seen in training."""
        parts = zip(self.names, self._values(features), self.lows, self.highs, strict=True)
        return tuple(name for name, value, low, high in parts if value < low or value > high)

    def _values(self, features: Mapping[str, float]) -> list[float]:
        missing = sorted(set(self.names) - set(features))
        if missing:
            wanted, lacking = ", ".join(self.names), ", ".join(missing)
            raise UserError(
                f"features: expected {wanted}, got none of {lacking}; "
                "give NaN for what cannot be measured"
            )
        return [float(features[name]) for name in self.names]


def fit_predictor(
    table: Table, names: Sequence[str], predicts: Literal["area", "lost"]
) -> Predictor:
    """Fit all rows, with the penalty that predicts left-out schemes best.

    Raises:
        UserError: a feature that is unknown or was never measured.
    """
    features, target = table.columns(names), table.target.to(torch.float64)
    empty = [n for n, column in zip(names, features.T, strict=True) if column.isnan().all()]
    expect(
        not empty, "measured ones", f"only NaN in {', '.join(empty)}", "leave them out", "features"
    )
    learner = Ridge() if predicts == "area" else Logistic()
    fit = tuned(learner, features, target[:, None], table.numbered(table.scheme))
    scale = fit.scaling.scale
    return Predictor(
        predicts=predicts,
        names=tuple(names),
        means=tuple(fit.scaling.mean.tolist()),
        # A constant feature has a coefficient of 0, whatever its scale.
        scales=tuple(torch.where(scale.isinf(), 1.0, scale).tolist()),
        coefficients=tuple(fit.theta[:-1, 0].tolist()),
        intercept=float(fit.theta[-1, 0]),
        lows=tuple(features.nan_to_num(torch.inf).amin(0).tolist()),
        highs=tuple(features.nan_to_num(-torch.inf).amax(0).tolist()),
    )
