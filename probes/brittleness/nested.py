"""Predictions of whole schemes held out, with everything that is chosen chosen on the others.

For every scheme: the rows of the other schemes standardise the features, replace missing ones by
their mean (which is 0 after standardising) and choose the penalty, by the least loss over a second
leaving-out of whole schemes among them; then they are fitted. Nothing of the held-out scheme, its
target or its features, enters its own predictions' fit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.brittleness.learners import Learner, with_one


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each training feature.

    A feature that is constant or was never measured is 0 after scaling, in training rows.
    """

    mean: Float[Tensor, "f"]
    scale: Float[Tensor, "f"]

    def __call__(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        return ((features - self.mean) / self.scale).nan_to_num(0.0)


@dataclass(frozen=True)
class Fit:
    """Linear models of all targets on the same features.

    Attributes:
        theta: coefficients of the standardised features, then the intercept.
        penalty: chosen for each target.
    """

    scaling: Scaling
    theta: Float[Tensor, "k t"]
    penalty: Float[Tensor, "t"]

    def scores(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n t"]:
        return with_one(self.scaling(features)) @ self.theta


@dataclass(frozen=True)
class HeldOut:
    """Predictions for every row by the fit that did not see its scheme.

    Attributes:
        fits: one per scheme, in the order of the schemes' numbers; of the first target only.
    """

    scores: Float[Tensor, "t n"]
    fits: tuple[Fit, ...]


def scaling_of(features: Float[Tensor, "n f"]) -> Scaling:
    """Mean and standard deviation of what was measured."""
    mean = features.nanmean(0).nan_to_num(0.0)
    spread = (features - mean).square().nanmean(0).sqrt().nan_to_num(0.0)
    # Against rounding: the spread of a constant is not exactly 0.
    constant = spread <= 1e-12 * (1 + mean.abs())
    return Scaling(mean, torch.where(constant, torch.inf, spread))


def held_out(
    learner: Learner,
    features: Float[Tensor, "n f"],
    targets: Float[Tensor, "n t"],
    scheme: Int[Tensor, "n"],
) -> HeldOut:
    """Leave every scheme out once."""
    scores = torch.empty_like(targets)
    fits = []
    for number in scheme.unique().tolist():
        out = scheme == number
        fit = tuned(learner, features[~out], targets[~out], scheme[~out])
        scores[out] = fit.scores(features[out])
        fits.append(Fit(fit.scaling, fit.theta[:, :1], fit.penalty[:1]))
    return HeldOut(scores.T.contiguous(), tuple(fits))


def tuned(
    learner: Learner,
    features: Float[Tensor, "n f"],
    targets: Float[Tensor, "n t"],
    scheme: Int[Tensor, "n"],
    weights: Float[Tensor, "n t"] | None = None,
) -> Fit:
    """Fit all rows with the penalty that predicts their schemes best when each is left out."""
    losses = torch.zeros(len(learner.penalties), targets.shape[1], dtype=torch.float64)
    for number in scheme.unique().tolist():
        out = scheme == number
        kept = None if weights is None else weights[~out]
        scaling = scaling_of(features[~out])
        theta = learner.fit(scaling(features[~out]), targets[~out], kept)
        loss = learner.loss(with_one(scaling(features[out])) @ theta, targets[out])
        losses += (loss if weights is None else loss * weights[out]).sum(1)
    chosen = losses.argmin(0)
    scaling = scaling_of(features)
    theta = learner.fit(scaling(features), targets, weights)
    each = torch.arange(targets.shape[1])
    penalty = torch.tensor(learner.penalties, dtype=torch.float64)[chosen]
    return Fit(scaling, theta[chosen, :, each].T, penalty)
