"""Participation ratio (Gao et al. 2017), plain and with unbiased traces (Chen, Zhang & Zhong 2010).

(tr C)^2 / tr C^2 of the covariance C: the number of axes over which the variance is spread, d where
it is equal on d axes, 1 where all of it is on one.
"""

from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from probes.geometry.kernels import examples
from probes.geometry.kernels import squared_distances as distances2
from probes.geometry.relative import Reading, relative
from probes.geometry.spread import Estimates, around_log, jackknife_error


def plug_in_participation_ratio(x: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites"]:
    """(tr C)^2 / tr C^2 of the sample covariance, between 1 and min(n - 1, d).

    Biased down: for normal data 1/PR of the sample is on average about 1/PR + 1/(n - 1), so that
    no n examples can show more than n - 1, and at n = PR about half is seen.
    """
    x = examples(x, "activations", at_least=2)
    centred = x - x.mean(1, keepdim=True)
    gram = centred @ centred.mT
    trace = gram.diagonal(dim1=1, dim2=2).sum(-1)
    return trace.square() / gram.square().sum((1, 2))


def participation_ratio(x: Float[Tensor, "sites n d"]) -> Estimates:
    """Number of axes over which the variance is spread, without the sample's bias.

    (tr C)^2 and tr C^2 are both estimated by U-statistics of four different examples each, so both
    are unbiased for any distribution with fourth moments (Chen, Zhang & Zhong 2010); what is left
    is the ratio's own bias, of order 1/n. Interval: jackknife, log scale.

    Raises:
        UserError: fewer than 6 examples, or too few to see the spectrum (tr C^2 not above 0).
    """
    value, left_out = _participation(examples(x, "activations", at_least=6))
    return around_log(value, jackknife_error(left_out), x.shape[1], "jackknife")


def participation_ratio_relative(
    triggered: Float[Tensor, "sites n d"], clean: Float[Tensor, "sites n d"]
) -> Estimates:
    """Participation ratio of triggered over that of clean; pairs are left out together.

    Raises:
        UserError: as `participation_ratio`, or sets that are not paired.
    """
    return relative(triggered, clean, _participation, jackknife_error, "jackknife of pairs")


def _participation(x: Float[Tensor, "sites n d"]) -> Reading:
    """Unbiased-trace participation ratio, and its logarithm without each example."""
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
    if not ((value > 0).all() and (without > 0).all()):
        raise UserError(
            f"participation ratio: expected enough examples to see the spectrum, got "
            f"{n} with tr C^2 or tr C estimated at 0; add examples"
        )
    return value, without.log()


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
