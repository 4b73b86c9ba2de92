"""Batched pieces of the linear fits: one system per site, solved in float64.

Every function works on all sites at once; a site is one (layer, span) position.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from circuits.errors import expect

_HALVINGS = 30


def newton(
    features: Float[Tensor, "rows n r"],
    target: Float[Tensor, "... n"],
    penalty: Float[Tensor, "r"],
    weights: Float[Tensor, "... n"] | float = 1.0,
    steps: int = 60,
    start: Float[Tensor, "rows r"] | None = None,
) -> Float[Tensor, "rows r"]:
    """Logistic regressions: least sum weights * (softplus(f) - target * f) + penalty * theta^2 / 2.

    f = features @ theta, targets are shares in [0, 1]. A row's step is halved until its convex loss
    no longer rises. Raises ValueError if ``steps`` do not converge.
    """
    theta = torch.zeros_like(features[:, 0]) if start is None else start
    score = times(features, theta)

    def loss(score: Tensor, theta: Tensor) -> Float[Tensor, "rows"]:
        fit = weights * (softplus(score) - target * score)
        return fit.sum(-1) + (penalty * theta.square()).sum(-1) / 2

    now = loss(score, theta)
    for _ in range(steps):
        share = torch.sigmoid(score)
        slope = penalty * theta - times(features.mT, weights * (target - share))
        curvature = (weights * share * (1 - share)).clamp_min(1e-12)
        step = -solve(features.mT @ (curvature[..., None] * features) + penalty.diag(), slope)
        converged = bool((-dot(slope, step) <= 1e-10 * now).all())
        move, length = times(features, step), torch.ones_like(now)[:, None]
        for _ in range(_HALVINGS):
            trial = loss(score + length * move, theta + length * step)
            worse = trial > now * (1 + 1e-12)
            if not worse.any():
                break
            length = torch.where(worse[:, None], length / 2, length)
        theta, score, now = theta + length * step, score + length * move, trial
        if converged:
            return theta
    raise ValueError(f"expected convergence in {steps} Newton steps, got none; raise the penalty")


def ledoit_wolf(
    residuals: Float[Tensor, "sites n d"],
    gram: Float[Tensor, "sites m m"],
    mean_variance: Float[Tensor, "sites"],
) -> Float[Tensor, "sites"]:
    """Optimal shrinkage towards mean_variance * I (Ledoit & Wolf 2004), from either Gram matrix."""
    n, d = residuals.shape[1:]
    squared = gram.square().sum((1, 2)) / n**2  # |S|^2, the same for X X' and X' X
    spread = squared - d * mean_variance**2
    noise = (torch.linalg.vector_norm(residuals, dim=-1).pow(4).sum(-1) / n - squared) / n
    share = torch.where(spread > 0, noise / spread, 1.0)
    # The floor keeps the Woodbury form, which divides by the share, well away from rounding.
    return share.nan_to_num(1.0).clamp(1e-6, 1)


def class_means(
    x: Float[Tensor, "sites n d"], labels: Bool[Tensor, "n"]
) -> tuple[Float[Tensor, "sites d"], Float[Tensor, "sites d"]]:
    """Positive minus negative class mean, and their midpoint."""
    member = torch.stack([~labels, labels]).to(x)
    negative, positive = ((member / member.sum(-1, keepdim=True)) @ x).unbind(1)
    return positive - negative, (positive + negative) / 2


def centre_and_scale(
    x: Float[Tensor, "sites n d"], penalty: float
) -> tuple[Float[Tensor, "sites d"], Float[Tensor, "sites n d"], Float[Tensor, "sites"]]:
    """Mean example, x minus it, and `penalty` times the mean squared distance from it."""
    expect(penalty > 0, "a penalty > 0", penalty, "pass for example 1.0")
    centre = x.mean(1)
    centred = x - centre[:, None]
    return centre, centred, penalty * floored(mean_square(centred), x)


def floored(
    variance: Float[Tensor, "sites"], x: Float[Tensor, "sites n d"]
) -> Float[Tensor, "sites"]:
    """`variance`, kept above rounding so that constant sites still give a solvable system."""
    return torch.maximum(variance, 1e-24 * mean_square(x) / x.shape[2]).clamp_min(1e-200)


def mean_square(x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites"]:
    """Mean over examples of |x|^2, without a temporary of the size of x."""
    return torch.linalg.vector_norm(x, dim=(1, 2)).square() / x.shape[1]


def example_span(
    centred: Float[Tensor, "sites n d"],
) -> tuple[Float[Tensor, "sites n n"], Float[Tensor, "sites n n"]]:
    """Coordinates of the examples in an orthonormal basis of their span, and centred.T @ back = it.

    By the eigenvectors of the Gram matrix; a null direction has zeros in both.
    """
    values, vectors = torch.linalg.eigh(centred @ centred.mT)
    kept = values > 1e-12 * values[:, -1:]
    root = torch.where(kept, values, 1.0).sqrt() * kept
    inverse = torch.where(kept, 1 / torch.where(kept, root, 1.0), 0.0)
    return vectors * root[:, None], vectors * inverse[:, None]


def plus_identity(
    matrix: Float[Tensor, "sites m m"], weight: Float[Tensor, "sites"]
) -> Float[Tensor, "sites m m"]:
    """matrix + weight * I at every site."""
    return matrix + weight[:, None, None] * torch.eye(matrix.shape[-1]).to(matrix)


def solve(
    system: Float[Tensor, "sites m m"], right: Float[Tensor, "sites m"]
) -> Float[Tensor, "sites m"]:
    """Solution of symmetric positive definite systems."""
    factor, failed = torch.linalg.cholesky_ex(system)
    expect(not failed.any(), "a positive definite system", "a singular one", "regularise more")
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def times(
    matrix: Float[Tensor, "sites n d"], vector: Float[Tensor, "sites d"]
) -> Float[Tensor, "sites n"]:
    return (matrix @ vector[..., None])[..., 0]


def dot(a: Float[Tensor, "sites d"], b: Float[Tensor, "sites d"]) -> Float[Tensor, "sites"]:
    return (a * b).sum(-1)
