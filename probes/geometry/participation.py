"""Participation ratio (Gao et al. 2017) with unbiased traces (Chen, Zhang & Zhong 2010).

(tr C)^2 / tr C^2 of the covariance C: the number of axes over which the variance is spread, d where
it is equal on d axes, 1 where all of it is on one. That of a sample's own covariance is biased
down: for normal data its inverse is on average larger by 1/(n - 1), so that no n examples can show
more than n - 1. Here (tr C)^2 and tr C^2 are both estimated by U-statistics of four different
examples each, so both are unbiased for any distribution with fourth moments; what is left is the
ratio's own bias, of order 1/n. Interval: jackknife, log scale.
"""

from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect
from probes.geometry.kernels import squared_distances as distances2
from probes.geometry.spread import Reading, Statistic, jackknife_error


def _participation(x: Float[Tensor, "sites n d"]) -> Reading:
    """The participation ratio, and its logarithm without each example.

    Raises:
        UserError: too few examples to see the spectrum (tr C^2 not above 0).
    """
    n = x.shape[1]
    centred = x - x.mean(1, keepdim=True)
    halves = distances2(centred, centred) / 2
    gram = centred @ centred.mT
    for part in (halves, gram):
        part.diagonal(dim1=1, dim2=2).zero_()
    squared_trace, squared_trace_without = _sums(halves)
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
