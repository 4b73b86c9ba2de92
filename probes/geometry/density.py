"""Density: how many different activations there are, and how they mix with another set.

- Vendi score (Friedman & Dieng 2023);
- nearest-neighbour mixing (Schilling 1986, Henze 1988);
- maximum mean discrepancy (Gretton et al. 2012).

All are for one set of activations per condition, paired by prompt where there are two, and give one
estimate per site. How their intervals are made: `probes.geometry.spread`. How many
dimensions they spread over: `probes.geometry.dimension`.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.geometry.kernels import (
    check_paired,
    examples,
    median_bandwidth,
    rbf_kernel,
    squared_distances,
)
from probes.geometry.spread import (
    Estimates,
    Reading,
    Statistic,
    halves,
    jackknife_error,
    student,
)
from probes.stats.checks import at_least_one, generator
from probes.stats.intervals import estimates

Pairwise = Float[Tensor, "sites n n"]


def vendi_relative(
    triggered: Float[Tensor, "sites n d"], clean: Float[Tensor, "sites n d"]
) -> Estimates:
    """Vendi score of triggered over that of clean, one RBF kernel for both.

    The score is the effective number of different examples: exp of the entropy of the eigenvalues
    of kernel / n, 1 for equal examples and n for orthogonal ones. It grows with n, so it compares
    only sets of one size. The kernel's bandwidth is the median distance over both sets together,
    taken as given by the interval: infinitesimal jackknife, log scale.

    Raises:
        UserError: sets that are not paired, or of equal examples.
    """
    check_paired(triggered, clean)
    both = torch.cat([examples(triggered, "triggered"), examples(clean, "clean")], dim=1)
    width = median_bandwidth(both)

    statistic = Statistic(
        lambda x: vendi(rbf_kernel(x, x, width)), influence_error, "infinitesimal jackknife"
    )
    return statistic.compare(triggered, clean)[1]


def neighbour_mixing(
    triggered: Float[Tensor, "sites n d"],
    clean: Float[Tensor, "sites n d"],
    k: int = 10,
    draws: int = 50,
    seed: int = 0,
) -> Estimates:
    """Share of a triggered example's k nearest neighbours that are clean.

    Neither the example itself nor its own clean partner counts, so that n - 1 of each kind are
    left, and the share is 1/2 where the two are drawn alike and 0 where they lie apart (Schilling
    1986, Henze 1988, for one kind). Interval: delete-half jackknife of the pairs with k / 2
    neighbours, which reach as far as k of all do. A bootstrap of the examples' shares is too narrow
    by half: examples have neighbours in common.

    Raises:
        UserError: sets that are not paired, or fewer than 2 (k + 1) pairs.
    """
    check_paired(triggered, clean)
    x = examples(triggered, "pairs", at_least=2 * (k + 1))
    y = examples(clean, "pairs", at_least=2 * (k + 1))
    n = x.shape[1]
    own = torch.eye(n, dtype=torch.bool)
    within = squared_distances(x, x).masked_fill(own, torch.inf)
    across = squared_distances(x, y).masked_fill(own, torch.inf)

    def share(index: Tensor, nearest: int) -> Float[Tensor, "sites"]:
        at = index[:, None], index
        both = torch.cat([within[:, *at], across[:, *at]], dim=-1)
        neighbours = both.topk(nearest, largest=False, sorted=False).indices
        return (neighbours >= len(index)).to(torch.float64).mean((1, 2))

    drawn = torch.stack([share(index, max(1, k // 2)) for index in halves(n, draws, seed)], dim=-1)
    value, half = share(torch.arange(n), k), student(n) * drawn.std(-1)
    low, high = (value - half).clamp_min(0), (value + half).clamp_max(1)
    return estimates(value, low, high, n, "delete-half jackknife of pairs")


def mean_discrepancy(
    triggered: Float[Tensor, "sites n d"],
    clean: Float[Tensor, "sites n d"],
    permutations: int = 500,
    seed: int = 0,
) -> tuple[Estimates, tuple[float, ...]]:
    """Unbiased squared MMD with an RBF kernel of median bandwidth, and its p, per site.

    The U-statistic over pairs of pairs of Gretton et al. (2012, lemma 6), 0 on average where the
    two are drawn alike. p: share of random swaps within pairs that give as much (Phipson & Smyth
    2010); a swap of a pair only changes the sign of its terms. Interval: jackknife over pairs,
    rough where the true value is 0 (the statistic is degenerate there: go by p).

    Raises:
        UserError: sets that are not paired, or of equal examples.
    """
    check_paired(triggered, clean)
    x, y = examples(triggered, "triggered"), examples(clean, "clean")
    n = x.shape[1]
    width = median_bandwidth(torch.cat([x, y], dim=1))
    cross = rbf_kernel(x, y, width)
    terms = rbf_kernel(x, x, width) + rbf_kernel(y, y, width) - cross - cross.mT
    terms.diagonal(dim1=1, dim2=2).zero_()
    total = terms.sum((1, 2))
    value = total / (n * (n - 1))
    left_out = (total[:, None] - 2 * terms.sum(-1)) / ((n - 1) * (n - 2))
    bits = torch.randint(0, 2, (n, at_least_one(permutations)), generator=generator(seed))
    signs = (2 * bits - 1).to(terms)
    swapped = ((terms @ signs) * signs).sum(1)
    reached = swapped >= total[:, None] - 1e-12 * terms.abs().sum((1, 2))[:, None]
    p = (1 + reached.sum(-1)).to(torch.float64) / (1 + permutations)
    half = student(n) * jackknife_error(left_out)
    return estimates(value, value - half, value + half, n, "jackknife of pairs"), tuple(p.tolist())


def vendi(kernel: Pairwise) -> Reading:
    """Vendi score, and the derivative of its logarithm in each example's weight, times n.

    Raises:
        UserError: another shape, or similarities that are no positive semidefinite kernel with 1 of
            an example with itself.
    """
    expect(
        kernel.ndim == 3 and kernel.shape[1] == kernel.shape[2] and kernel.numel(),
        "[sites, n, n]",
        tuple(kernel.shape),
        "give similarities of all pairs",
        "kernel",
    )
    kernel = kernel.to(torch.float64)
    n = kernel.shape[-1]
    values, vectors = torch.linalg.eigh(kernel / n)
    diagonal = kernel.diagonal(dim1=1, dim2=2)
    expect(
        values.min() >= -1e-8 and torch.allclose(diagonal, torch.ones_like(diagonal)),
        "no eigenvalue below 0 and 1 on the diagonal",
        f"{float(values.min()):.3g} and {float(diagonal.min()):.3g}",
        "pass a cosine or RBF kernel",
        "kernel",
    )
    values = values.clamp_min(0)
    entropy = -torch.special.xlogy(values, values).sum(-1)
    slope = -(torch.special.xlogy(values, values) + values)
    influence = n * (vectors.square() @ slope[..., None])[..., 0]
    return entropy.exp(), influence


def influence_error(influence: Float[Tensor, "sites n"]) -> Float[Tensor, "sites"]:
    """Standard error of a statistic from its derivatives in the examples' weights."""
    n = influence.shape[-1]
    return (influence.var(-1) / n).sqrt()
