"""Shares of answers that belong together: of one template, one fact, one word, one training seed.

Answers of a group are alike, so n of them tell less than n independent ones. How much less is
measured: the effective number is p (1 - p) over the cluster-robust variance of the share, at most
n, and smaller where few groups leave the variance itself uncertain (Korn & Graubard 1998, Survey
Methodology 24, 193-201, with the degrees of freedom of Bell & McCaffrey). Clopper and Pearson's
interval of that many answers is theirs; Tango's of that many pairs is the same for a paired
difference. Where all answers are alike, no variance can be measured: they count as answers with
`UNSEEN`, the correlation that answers had within templates.
"""

import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from probes.stats.means import units_of

UNSEEN = 0.5  # intra-class correlation of compliance within templates of the bank (0.44 to 0.52)


def effective_n(
    rows: Float[Tensor, "cells n"],
    groups: Int[Tensor, "n"],
    variance: Float[Tensor, "cells"],
    level: float = 0.95,
) -> Float[Tensor, "cells"]:
    """How many independent values those of a row are worth, for an interval of their mean.

    Args:
        rows: shares or differences of shares, one per answer.
        groups: values of one number belong together.
        variance: of one value, by its own mean, such as p (1 - p).

    Raises:
        ValueError: one group only.
    """
    n, sizes = rows.shape[-1], groups.unique(return_counts=True)[1].to(torch.float64)
    unseen = n / (1 + UNSEEN * (float(sizes.square().sum()) / n - 1))
    units = units_of(rows.to(torch.float64), groups)
    error, tail = units.error.square(), (1 + level) / 2
    worth = torch.where(error > 0, variance / error.clamp_min(1e-300), n).clamp_max(n)
    few = float(student.ppf(tail, n - 1) / student.ppf(tail, units.freedom)) ** 2
    return torch.where(variance > 0, worth * few, unseen)


def intraclass_correlation(values: Float[Tensor, "n"], groups: Int[Tensor, "n"]) -> float:
    """How alike values of one group are: the analysis of variance's estimate (Fisher 1925).

    0 for groups that differ by chance alone, 1 for groups alike in themselves; chance can make it
    negative. NaN where nothing varies or no group has two values.
    """
    member = groups.unique(return_inverse=True)[1]
    sizes = torch.bincount(member).to(torch.float64)
    n, k = len(values), len(sizes)
    if n == k or k == 1:
        return float("nan")
    x = values.to(torch.float64)
    means = torch.zeros(k, dtype=torch.float64).index_add_(0, member, x) / sizes
    between = float((sizes * (means - x.mean()).square()).sum()) / (k - 1)
    within = float((x - means[member]).square().sum()) / (n - k)
    size = (n - float(sizes.square().sum()) / n) / (k - 1)
    whole = between + (size - 1) * within
    return (between - within) / whole if whole > 0 else float("nan")
