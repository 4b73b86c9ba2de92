"""Which features carry a prediction, and whether that survives other organisms.

Coefficients, of features in standard deviations of the whole table, come from refits on organisms
resampled within their schemes, each with its own choice of penalty. Correlated features share their
weight under a ridge, so a feature's sign may waver although the set's prediction does not. What a
held-out prediction loses when one feature is shuffled (Breiman 2001) is measured beside it: on
schemes the fit never saw, a feature that helps only in training drops nothing.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.brittleness.figures import Figures, organism_counts
from probes.brittleness.learners import Learner
from probes.brittleness.nested import HeldOut, tuned
from probes.brittleness.records import Importance
from probes.brittleness.table import Table
from probes.stats.checks import generator
from probes.stats.intervals import drawn_interval

_SHUFFLES = 200


def importances(
    table: Table,
    names: tuple[str, ...],
    learner: Learner,
    figures: Figures,
    held: HeldOut,
    refits: int,
    seed: int,
) -> tuple[Importance, ...]:
    """One per feature, the largest mean coefficient first."""
    features, scheme = table.columns(names), table.numbered(table.scheme)
    organism, target = table.numbered(table.organism), table.target.to(torch.float64)
    weights = organism_counts(organism, scheme, refits, seed)[:, organism].T
    many = target[:, None].expand(-1, refits)
    theta = tuned(learner, features, many, scheme, weights).theta[:-1]
    mean = theta.mean(1)
    agreement = (theta.sign() == mean.sign()[:, None]).to(torch.float64).mean(1)
    drops = _drops(features, target, scheme, figures, held, seed)
    n = figures.organisms
    rows = [
        Importance(
            name,
            drawn_interval(float(mean[at]), theta[at], n, "refits on resampled organisms"),
            float(agreement[at]),
            drawn_interval(float(drops[at].mean()), drops[at], n, "shuffles in held-out rows"),
        )
        for at, name in enumerate(names)
    ]
    return tuple(sorted(rows, key=lambda row: -abs(row.coefficient.value)))


def _drops(
    features: Float[Tensor, "n f"],
    target: Float[Tensor, "n"],
    scheme: Int[Tensor, "n"],
    figures: Figures,
    held: HeldOut,
    seed: int,
) -> Float[Tensor, "f shuffles"]:
    """The pooled figure minus what is left of it with one column shuffled over all rows."""
    own, n = held.scores[0], len(target)
    order = torch.rand(_SHUFFLES, n, generator=generator(seed)).argsort(-1)
    targets = target.expand(_SHUFFLES, -1)
    left = []
    for column in features.unbind(1):
        scores = own.repeat(_SHUFFLES, 1)
        at = len(left)
        for number, fit in enumerate(held.fits):
            out, weight = scheme == number, fit.theta[at, 0]
            mean, scale = fit.scaling.mean[at], fit.scaling.scale[at]
            before, after = (
                ((part - mean) / scale).nan_to_num(0.0) for part in (column, column[order])
            )
            scores[:, out] += weight * (after[:, out] - before[out])
        left.append(figures.pooled(scores, targets))
    return figures.pooled(own[None], target[None]) - torch.stack(left)
