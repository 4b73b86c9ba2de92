"""Intrinsic dimension from the two nearest neighbours (TwoNN; Facco et al. 2017).

Where the density is even on the scale of the second neighbour, the ratio r2 / r1 of the distances
has the distribution F(mu) = 1 - mu^-d, whatever the density. d is the slope of -log(1 - F) against
log mu through the origin, the largest tenth of the ratios left out, as in the paper. It assumes
enough examples: 150 of a Gaussian of 5, 10, 20 and 40 dimensions read 5.0, 9.0, 15.1 and 24.1 on
average, of a uniform cube of 5 and 10 read 4.5 and 8.1. So it compares sets of one size, and above
10 dimensions the interval is around what n examples read, not around the true dimension.

A bootstrap with replacement is useless here: the nearest neighbour of an example drawn twice is
itself, at distance 0. Intervals come from halves drawn without replacement, on the log scale.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import UserError
from probes.geometry.kernels import check_paired, examples, squared_distances
from probes.geometry.spread import Estimates, around_log, halves

_METHOD = "delete-half jackknife"


def two_nn(
    x: Float[Tensor, "sites n d"], discard: float = 0.1, draws: int = 50, seed: int = 0
) -> Estimates:
    """Intrinsic dimension of a set of activations.

    Raises:
        UserError: fewer than 20 examples, equal examples, or a share outside [0, 1).
    """
    value, drawn = _dimensions(x, discard, draws, seed)
    return around_log(value, drawn.log().std(-1), x.shape[1], _METHOD)


def two_nn_relative(
    triggered: Float[Tensor, "sites n d"],
    clean: Float[Tensor, "sites n d"],
    discard: float = 0.1,
    draws: int = 50,
    seed: int = 0,
) -> tuple[Estimates, Estimates]:
    """Intrinsic dimension of triggered, and that over clean's, in the same halves of the pairs.

    Raises:
        UserError: as `two_nn`, or sets that are not paired.
    """
    check_paired(triggered, clean)
    top, top_drawn = _dimensions(triggered, discard, draws, seed)
    bottom, bottom_drawn = _dimensions(clean, discard, draws, seed)
    n, error = triggered.shape[1], (top_drawn / bottom_drawn).log().std(-1)
    own = around_log(top, top_drawn.log().std(-1), n, _METHOD)
    return own, around_log(top / bottom, error, n, f"{_METHOD} of pairs")


def _dimensions(
    x: Float[Tensor, "sites n d"], discard: float, draws: int, seed: int
) -> tuple[Float[Tensor, "sites"], Float[Tensor, "sites draws"]]:
    """The dimension of all examples and of every half."""
    x = examples(x, "activations", at_least=20)
    if not 0 <= discard < 1:
        raise UserError(f"TwoNN: expected a share to discard in [0, 1), got {discard}; pass 0.1")
    squared = squared_distances(x, x)
    squared.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    # Distances come from inner products: what is this small against the set is rounding.
    scale = (x - x.mean(1, keepdim=True)).square().sum(-1).mean(-1)
    if (squared.amin((1, 2)) <= 1e-14 * scale).any():
        raise UserError("TwoNN: expected different examples, got equal ones; drop the repetitions")
    n = x.shape[1]
    chosen = halves(n, draws, seed)
    drawn = torch.stack([_slope(squared, index, discard) for index in chosen], dim=-1)
    return _slope(squared, torch.arange(n), discard), drawn


def _slope(
    squared: Float[Tensor, "sites n n"], index: Int[Tensor, "k"], discard: float
) -> Float[Tensor, "sites"]:
    """The fitted dimension of a subset."""
    k = len(index)
    nearest = squared[:, index[:, None], index].topk(2, largest=False).values
    log_ratio = ((nearest[..., 1] / nearest[..., 0]).log() / 2).sort(-1).values
    kept = max(2, int(k * (1 - discard)))
    kept = min(kept, k - 1)  # at the last one F is 1
    rank = torch.arange(1, kept + 1, dtype=torch.float64) / k
    height = -torch.log1p(-rank)
    log_ratio = log_ratio[:, :kept]
    return (log_ratio * height).sum(-1) / log_ratio.square().sum(-1)
