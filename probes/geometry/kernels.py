"""Distances and kernels between examples, at every site at once; arithmetic in float64.

A site is one layer; x is [sites, n, d] throughout this folder.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError


def examples(
    x: Float[Tensor, "sites n d"], name: str, at_least: int = 4
) -> Float[Tensor, "sites n d"]:
    """x in float64.

    Raises:
        UserError: another shape, fewer than ``at_least`` examples, or a value that is not finite.
    """
    if x.ndim != 3 or x.numel() == 0 or x.shape[1] < at_least:
        got = tuple(x.shape)
        raise UserError(f"{name}: expected [sites, n >= {at_least}, d], got {got}; add examples")
    x = x.to(torch.float64)
    if not torch.linalg.vector_norm(x).isfinite():
        raise UserError(f"{name}: expected finite activations, got NaN or inf; drop those examples")
    return x


def check_paired(first: Float[Tensor, "..."], second: Float[Tensor, "..."]) -> None:
    """
    Raises:
        UserError: the two sets have not the same shape.
    """
    if first.shape != second.shape:
        got = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise UserError(f"pairs: expected two sets of one shape, got {got}; pair them by prompt")


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
    if (median <= 1e-7 * scale).any():
        at = (median <= 1e-7 * scale).nonzero().squeeze(-1).tolist()
        raise UserError(
            f"activations: expected different examples, got equal ones at sites {at}; "
            "drop those layers"
        )
    return median


def rbf_kernel(
    x: Float[Tensor, "sites n d"], y: Float[Tensor, "sites m d"], bandwidth: Float[Tensor, "sites"]
) -> Float[Tensor, "sites n m"]:
    """exp(-|x - y|^2 / (2 bandwidth^2)), in (0, 1]."""
    return torch.exp(-squared_distances(x, y) / (2 * bandwidth.square())[:, None, None])


def cosine_kernel(x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites n n"]:
    """Cosine of every two examples about the origin.

    Residuals share a large mean, so their raw cosines are all near 1; centre them first if that is
    not what is asked.
    """
    unit = torch.nn.functional.normalize(x, dim=-1)
    return unit @ unit.mT
