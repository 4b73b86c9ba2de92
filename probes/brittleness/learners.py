"""Ridge and ridge-logistic regression for many targets and all penalties at once, in float64.

Ridge minimises mean (y - f)^2 + penalty |w|^2 in closed form (Hoerl & Kennard 1970); the logistic
one minimises mean log-loss + penalty |w|^2 / 2 by Newton's method (le Cessie & van Houwelingen
1992). Intercepts are not penalised. Targets share the features, so that the curvatures of all
shuffled targets are one matrix product. The penalties are listed from strong to weak: among equals,
the first is the simplest model.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from probes.stats.checks import CHUNK

_STEPS, _HALVINGS = 100, 30
_TOLERANCE = 1e-6  # of the Newton decrement, per unit of weight; the last step squares it


@dataclass(frozen=True)
class Ridge:
    """Least squares; a score is the predicted value."""

    penalties: tuple[float, ...] = tuple(10 ** (i / 2) for i in range(6, -7, -1))

    def fit(
        self,
        x: Float[Tensor, "n f"],
        y: Float[Tensor, "n t"],
        weights: Float[Tensor, "n t"] | None = None,
    ) -> Float[Tensor, "p k t"]:
        """Coefficients, then the intercept (k = f + 1), for every penalty and target.

        Args:
            weights: how often each row counts, per target; targets then have their own equations.
        """
        rows = with_one(x)
        if weights is None:
            gram, right = (rows.T @ rows)[None], (rows.T @ y)[None]
            total = torch.full((1,), len(x), dtype=torch.float64)
        else:
            gram, total = _grams(rows, weights), weights.sum(0)
            right = (rows.T @ (weights * y)).T[..., None]
        penalty = torch.tensor(self.penalties, dtype=torch.float64)[:, None, None] * _free(rows)
        system = gram[:, None] + total[:, None, None, None] * penalty
        theta = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(system))
        return theta[0] if weights is None else theta[..., 0].permute(1, 2, 0)

    def loss(
        self, score: Float[Tensor, "p n t"], y: Float[Tensor, "n t"]
    ) -> Float[Tensor, "p n t"]:
        """Squared error, row by row."""
        return (score - y).square()


@dataclass(frozen=True)
class Logistic:
    """Logistic regression of targets 0 and 1; a score is the log odds of 1."""

    penalties: tuple[float, ...] = (10.0, 1.0, 0.1, 0.01, 0.001)

    def fit(
        self,
        x: Float[Tensor, "n f"],
        y: Float[Tensor, "n t"],
        weights: Float[Tensor, "n t"] | None = None,
    ) -> Float[Tensor, "p k t"]:
        """As `Ridge.fit`; targets share the products of features, whatever their weights.

        Raises:
            ValueError: no convergence, which a penalty above 0 rules out on standardised features.
        """
        rows = with_one(x)
        counts = torch.ones_like(y) if weights is None else weights
        size = max(1, CHUNK // max(len(x), rows.shape[1] ** 2))
        parts = []
        for part, count in zip(y.split(size, 1), counts.split(size, 1), strict=True):
            theta = torch.zeros(rows.shape[1], part.shape[1]).to(rows)
            path = []
            for penalty in self.penalties:  # each starts where a stronger one ended
                theta = _newton(rows, part, count, penalty, theta)
                path.append(theta)
            parts.append(torch.stack(path))
        return torch.cat(parts, -1)

    def loss(
        self, score: Float[Tensor, "p n t"], y: Float[Tensor, "n t"]
    ) -> Float[Tensor, "p n t"]:
        """Nats, row by row."""
        return softplus(score) - y * score


Learner = Ridge | Logistic


def with_one(x: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
    """The features and, last, the intercept's 1."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def _newton(
    rows: Float[Tensor, "n k"],
    y: Float[Tensor, "n t"],
    weights: Float[Tensor, "n t"],
    penalty: float,
    theta: Float[Tensor, "k t"],
) -> Float[Tensor, "k t"]:
    """Newton's method with halved steps, until all columns need only one more."""
    free = penalty * _free(rows).diagonal()[:, None] * weights.sum(0)
    score, total = rows @ theta, weights.sum(0)

    def objective(score: Tensor, theta: Tensor) -> Tensor:
        return (weights * (softplus(score) - y * score)).sum(0) + (free * theta**2).sum(0) / 2

    now = objective(score, theta)
    for _ in range(_STEPS):
        chance = torch.sigmoid(score)
        slope = rows.T @ (weights * (chance - y)) + free * theta
        curvature = (weights * chance * (1 - chance)).clamp_min(1e-14)
        hessian = _grams(rows, curvature) + torch.diag_embed(free.T)
        step = torch.cholesky_solve(slope.T[..., None], torch.linalg.cholesky(hessian))[..., 0].T
        if ((slope * step).sum(0) <= _TOLERANCE * total).all():
            return theta - step
        move, length = rows @ step, torch.ones_like(now)
        for _ in range(_HALVINGS):
            trial = objective(score - length * move, theta - length * step)
            worse = trial > now + 1e-12 * now.abs()
            if not worse.any():
                break
            length = torch.where(worse, length / 2, length)
        theta, score, now = theta - length * step, score - length * move, trial
    raise ValueError(f"expected convergence in {_STEPS} Newton steps, got none; raise the penalty")


def _grams(rows: Float[Tensor, "n k"], weights: Float[Tensor, "n c"]) -> Float[Tensor, "c k k"]:
    """rows' diag(w) rows for every column w of the weights, as one product."""
    k = rows.shape[1]
    i, j = torch.triu_indices(k, k)
    upper = (weights.T @ (rows[:, i] * rows[:, j])).to(rows)
    grams = torch.empty(weights.shape[1], k, k).to(rows)
    grams[:, i, j] = upper
    grams[:, j, i] = upper
    return grams


def _free(rows: Float[Tensor, "n k"]) -> Float[Tensor, "k k"]:
    """The identity, but 0 for the intercept."""
    ones = torch.ones(rows.shape[1]).to(rows)
    ones[-1] = 0
    return torch.diag(ones)
