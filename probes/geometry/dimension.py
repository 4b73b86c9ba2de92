"""How many dimensions a set of activations spreads over: participation ratio and TwoNN.

Participation ratio (Gao et al. 2017) with unbiased traces (Chen, Zhang & Zhong 2010).

(tr C)^2 / tr C^2 of the covariance C: the number of axes over which the variance is spread, d where
it is equal on d axes, 1 where all of it is on one. That of a sample's own covariance is biased
down: for normal data its inverse is on average larger by 1/(n - 1), so that no n examples can show
more than n - 1. Here (tr C)^2 and tr C^2 are both estimated by U-statistics of four different
examples each, so both are unbiased for any distribution with fourth moments; what is left is the
ratio's own bias, of order 1/n. Interval: jackknife, log scale.

Intrinsic dimension from the two nearest neighbours (TwoNN; Facco et al. 2017).

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

from circuits.errors import expect
from probes.geometry.kernels import squared_distances
from probes.geometry.spread import Reading, Statistic, halves, jackknife_error


def _participation(x: Float[Tensor, "sites n d"]) -> Reading:
    """The participation ratio, and its logarithm without each example.

    Raises:
        UserError: too few examples to see the spectrum (tr C^2 not above 0).
    """
    n = x.shape[1]
    centred = x - x.mean(1, keepdim=True)
    apart = squared_distances(centred, centred) / 2
    gram = centred @ centred.mT
    for part in (apart, gram):
        part.diagonal(dim1=1, dim2=2).zero_()
    squared_trace, squared_trace_without = _sums(apart)
    trace, trace_without = _sums(gram)
    value = _quadruples(*squared_trace, n) / _trace_of_square(*trace, n)
    without = _quadruples(*squared_trace_without, n - 1) / _trace_of_square(*trace_without, n - 1)
    expect(
        (value > 0).all() and (without > 0).all(),
        "enough examples to see the spectrum",
        f"{n} with tr C^2 or tr C estimated at 0",
        "add examples",
        "participation ratio",
    )
    return value, without.log()


PARTICIPATION = Statistic(_participation, jackknife_error, "jackknife")


Sums = tuple[Tensor, Tensor, Tensor]  # of all entries; of squared row sums; of squared entries


def _sums(a: Float[Tensor, "sites n n"]) -> tuple[Sums, Sums]:
    """Of a symmetric matrix with a zero diagonal, and the same without each row and column."""
    rows, squares = a.sum(-1), a.square().sum(-1)
    whole = (rows.sum(-1), rows.square().sum(-1), squares.sum(-1))
    shared = (a @ rows[..., None])[..., 0]
    without = (
        whole[0][:, None] - 2 * rows,
        whole[1][:, None] - rows.square() - 2 * shared + squares,
        whole[2][:, None] - 2 * squares,
    )
    return whole, without


def _quadruples(total: Tensor, rows: Tensor, squares: Tensor, n: int) -> Tensor:
    """Mean of a_ij a_kl over four different indices."""
    return (total.square() - 4 * rows + 2 * squares) / (n * (n - 1) * (n - 2) * (n - 3))


def _trace_of_square(total: Tensor, rows: Tensor, squares: Tensor, n: int) -> Tensor:
    """Unbiased tr C^2 from inner products (Chen, Zhang & Zhong 2010, T_2)."""
    pairs, triples = n * (n - 1), n * (n - 1) * (n - 2)
    return squares / pairs - 2 * (rows - squares) / triples + _quadruples(total, rows, squares, n)


def two_nn(discard: float = 0.1, draws: int = 50, seed: int = 0) -> Statistic:
    """Intrinsic dimension of a set of activations; two sets are read in the same halves.

    Args:
        discard: share of the largest ratios that is left out.
        draws: halves for the interval.

    Raises:
        UserError: a share outside [0, 1), or fewer than 2 draws. The statistic: fewer than 20
            examples, or equal ones.
    """
    expect(0 <= discard < 1, "a share to discard in [0, 1)", discard, "pass 0.1", "TwoNN")

    def read(x: Float[Tensor, "sites n d"]) -> Reading:
        """The dimension of all examples, and the logarithm of that of every half."""
        squared = squared_distances(x, x)
        squared.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        # Distances come from inner products: what is this small against the set is rounding.
        scale = (x - x.mean(1, keepdim=True)).square().sum(-1).mean(-1)
        equal = (squared.amin((1, 2)) <= 1e-14 * scale).any()
        expect(not equal, "different examples", "equal ones", "drop the repetitions", "TwoNN")
        n = x.shape[1]
        drawn = [_slope(squared, index, discard) for index in halves(n, draws, seed)]
        return _slope(squared, torch.arange(n), discard), torch.stack(drawn, dim=-1).log()

    return Statistic(read, lambda logs: logs.std(-1), "delete-half jackknife", at_least=20)


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
