"""Agreement of two judges on the same answers: how often, and how much beyond chance.

Raw agreement has a Wilson interval, Cohen's kappa (1960) a percentile bootstrap over examples
(Efron 1979). Kappa is (p - c) / (1 - c), where p is the share on which the judges agree and c what
two judges with the same label frequencies would agree on by chance. A judge that gives one label
only has kappa 0 with any other judge. Where *both* give one and the same label only, p = c = 1 and
kappa is undefined: it is reported as 0 in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import at_least_one, check_level, generator
from probes.stats.intervals import Estimate, drawn_interval, wilson

UNDEFINED = "undefined: both judges gave one and the same label only"


@dataclass(frozen=True)
class Agreement:
    """How two judges agree on n examples.

    Attributes:
        raw: share on which they agree.
        kappa: agreement beyond chance, 0 for none and 1 for all; ``method`` is ``UNDEFINED`` where
            the data cannot say. Where all resamples agree, the interval has no width; then the
            interval of ``raw`` says how sure that is.
        labels: names of the labels.
        counts: how often the first judge gave the row's label and the second the column's.
    """

    raw: Estimate
    kappa: Estimate
    labels: tuple[str, ...]
    counts: Int[Tensor, "k k"]


def agreement(
    first: Int[Tensor, "n"],
    second: Int[Tensor, "n"],
    labels: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Agreement:
    """Agreement of two judges, paired by example.

    Args:
        first, second: each judge's label per example, as an index into ``labels``.
        labels: names of all labels that could be given.

    Raises:
        ValueError: other shapes, no examples, or an index without a label.
    """
    _check(first, second, len(labels))
    k, n = len(labels), len(first)
    cells = first.long() * k + second.long()
    counts = torch.bincount(cells, minlength=k * k)
    agreed = int(counts.view(k, k).diagonal().sum())
    kappa = _kappa_interval(cells, k, resamples, seed, level)
    return Agreement(wilson(agreed, n, level), kappa, tuple(labels), counts.view(k, k))


def _check(first: Tensor, second: Tensor, k: int) -> None:
    expect(
        first.ndim == 1 and first.shape == second.shape and len(first),
        "two judges' labels [n >= 1]",
        f"{tuple(first.shape)} and {tuple(second.shape)}",
        "pair them by example",
    )
    both = torch.cat([first, second])
    expect(
        both.min() >= 0 and both.max() < k,
        f"labels from 0 to {k - 1}",
        f"{int(both.min())} to {int(both.max())}",
        "name every label",
    )


def cohen_kappa(counts: Float[Tensor, "*cells k k"]) -> Float[Tensor, "*cells"]:
    """Kappa of tables of counts (Cohen 1960); NaN where both judges gave one and the same label."""
    shares = counts.double() / counts.sum(dim=(-2, -1), keepdim=True)
    seen = shares.diagonal(dim1=-2, dim2=-1).sum(-1)
    chance = (shares.sum(-1) * shares.sum(-2)).sum(-1)
    one_label = (counts > 0).sum(dim=(-2, -1)) == 1
    same = one_label & (counts.diagonal(dim1=-2, dim2=-1) > 0).any(-1)
    return torch.where(same, torch.nan, (seen - chance) / torch.where(same, 1, 1 - chance))


def _kappa_interval(
    cells: Int[Tensor, "n"], k: int, resamples: int, seed: int, level: float
) -> Estimate:
    """Kappa with its interval; resamples in which it is undefined are left out."""
    check_level(level)
    n = len(cells)
    value = float(cohen_kappa(_tables(cells[None], k))[0])
    if value != value:
        return Estimate(0.0, -1.0, 1.0, n, level, UNDEFINED)
    index = torch.randint(n, (at_least_one(resamples), n), generator=generator(seed))
    drawn = cohen_kappa(_tables(cells.cpu()[index], k))
    return drawn_interval(value, drawn, n, "percentile bootstrap", level)


def _tables(cells: Int[Tensor, "rows n"], k: int) -> Float[Tensor, "rows k k"]:
    """Counts of the k * k cells in each row."""
    counts = torch.zeros(len(cells), k * k, dtype=torch.float64, device=cells.device)
    ones = torch.ones_like(cells, dtype=torch.float64)
    return counts.scatter_add_(1, cells, ones).view(-1, k, k)
