"""Batched pieces of the linear fits: one system per site, solved in float64.

Every function works on all sites at once; a site is one (layer, span) position.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from circuits.errors import expect


def newton(
    features: Float[Tensor, "sites n r"], target: Float[Tensor, "n"], steps: int
) -> Float[Tensor, "sites r"]:
    """Minimise sum softplus(-y f) + |w|^2 / 2 over theta = (w, intercept), f = features @ theta.

    The step is the best of 1, 1/2, ... 2^-9, so the convex loss falls every time.
    """
    free = torch.ones(features.shape[-1]).to(features)
    free[-1] = 0  # the intercept is not penalised
    lengths = torch.tensor([2.0**-i for i in range(10)]).to(features)
    theta = torch.zeros_like(features[:, 0])
    for _ in range(steps):
        margin = target * times(features, theta)
        wrong = torch.sigmoid(-margin)
        slope = free * theta - times(features.mT, target * wrong)
        curvature = (wrong * (1 - wrong)).clamp_min(1e-12)
        hessian = features.mT @ (curvature[..., None] * features) + torch.diag(free)
        step = -solve(hessian, slope)
        trials = theta[:, None] + lengths[:, None] * step[:, None]
        margins = margin[:, None] + lengths[:, None] * (target * times(features, step))[:, None]
        losses = softplus(-margins).sum(-1) + (free * trials).square().sum(-1) / 2
        best = losses.argmin(1)
        theta = trials[torch.arange(len(trials), device=best.device), best]
        if (-dot(slope, step) <= 1e-10 * losses.min(1).values).all():
            return theta
    raise ValueError(f"expected convergence in {steps} Newton steps, got none; raise the penalty")


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
