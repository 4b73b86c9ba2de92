"""Distances and kernels between examples, at every site at once; arithmetic in float64.

A site is one layer; x is [sites, n, d] throughout this folder.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect


def examples(
    x: Float[Tensor, "sites n d"], name: str, at_least: int = 4
) -> Float[Tensor, "sites n d"]:
    """x in float64.

    Raises:
        UserError: another shape, fewer than ``at_least`` examples, or a value that is not finite.
    """
    expect(
        x.ndim == 3 and x.numel() != 0 and x.shape[1] >= at_least,
        f"[sites, n >= {at_least}, d]",
        tuple(x.shape),
        "add examples",
        name,
    )
    x = x.to(torch.float64)
    expect(
        torch.linalg.vector_norm(x).isfinite(),
        "finite activations",
        "NaN or inf",
        "drop those examples",
        name,
    )
    return x


def check_paired(first: Float[Tensor, "..."], second: Float[Tensor, "..."]) -> None:
    """
    Raises:
        UserError: the two sets have not the same shape.
    """
    expect(
        first.shape == second.shape,
        "two sets of one shape",
        f"{tuple(first.shape)} and {tuple(second.shape)}",
        "pair them by prompt",
        "pairs",
    )


def squared_distances(
    x: Float[Tensor, "sites n d"], y: Float[Tensor, "sites m d"]
) -> Float[Tensor, "sites n m"]:
    """|x_i - y_j|^2, from inner products about the common mean, so that a large one cancels."""
    centre = torch.cat([x, y], dim=1).mean(1, keepdim=True)
    x, y = x - centre, y - centre
    squared = x.square().sum(-1)[..., None] + y.square().sum(-1)[:, None] - 2 * x @ y.mT
    return squared.clamp_min(0)


def median_bandwidth(x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites"]:
    """Median distance between two different examples, in the activations' unit.

    The median heuristic of Gretton et al. (2012, section 8).

    Raises:
        UserError: the median is 0, because most examples are equal.
    """
    n = x.shape[1]
    upper = torch.triu_indices(n, n, 1)
    median = squared_distances(x, x)[:, upper[0], upper[1]].median(-1).values.sqrt()
    scale = torch.linalg.vector_norm(x, dim=(1, 2)) / n**0.5
    equal = (median <= 1e-7 * scale).nonzero().squeeze(-1).tolist()
    expect(
        not equal,
        "different examples",
        f"equal ones at sites {equal}",
        "drop those layers",
        "activations",
    )
    return median


def rbf_kernel(
    x: Float[Tensor, "sites n d"], y: Float[Tensor, "sites m d"], bandwidth: Float[Tensor, "sites"]
) -> Float[Tensor, "sites n m"]:
    """exp(-|x - y|^2 / (2 bandwidth^2)), in (0, 1]."""
    return torch.exp(-squared_distances(x, y) / (2 * bandwidth.square())[:, None, None])
