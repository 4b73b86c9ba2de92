"""One set of features judged: figures with intervals, nulls, lead over another set, importances.

Which features carry a prediction, and whether that survives other organisms: coefficients, of
features in standard deviations of the whole table, come from refits on organisms resampled within
their schemes, each with its own choice of penalty. Correlated features share their weight under a
ridge, so a feature's sign may waver although the set's prediction does not. What a held-out
prediction loses when one feature is shuffled (Breiman 2001) is measured beside it: on schemes the
fit never saw, a feature that helps only in training drops nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.brittleness.figures import Figures, organism_counts
from probes.brittleness.learners import Learner
from probes.brittleness.nested import HeldOut, tuned
from probes.brittleness.records import Difference, Importance, Null, Score
from probes.brittleness.table import Table
from probes.stats.checks import generator
from probes.stats.intervals import Estimate, drawn_interval

_SHUFFLES = 200
_BOOTSTRAP = "percentile bootstrap of organisms within schemes"
Draws = tuple[Float[Tensor, "r"], Float[Tensor, "r"]]  # pooled, within
Shuffle = Callable[[Float[Tensor, "n"], Int[Tensor, "n"], int, int], Float[Tensor, "m n"]]


@dataclass(frozen=True)
class Level:
    """What organisms and prompts do differently."""

    rows: str
    learner: Learner
    figures: Figures
    part: Int[Tensor, "n"]  # shuffles keep to it
    shuffles: Mapping[str, Shuffle]
    judged: tuple[tuple[str, str], ...]  # shuffle, figure


def estimates(
    level: Level, held: HeldOut, target: Float[Tensor, "n"], draws: Draws
) -> tuple[Estimate, Estimate | None]:
    """The pooled figure and, where any part says something, the one within parts.

    Intervals are cut to the figures' own range.
    """
    figures, own = level.figures, held.scores[:1]
    values = figures.pooled(own, target[None]), figures.within(own, target[None])

    def cut(which: int, n: int) -> Estimate:
        value, stretch = float(values[which]), figures.stretch[which]
        e = drawn_interval(value, draws[which], n, _BOOTSTRAP, stretch=stretch)
        return replace(e, low=max(e.low, figures.lowest), high=min(e.high, 1.0))

    judged = figures.judged(target)
    return cut(0, figures.organisms), cut(1, judged) if judged else None


def nulls(
    level: Level, held: HeldOut, targets: Float[Tensor, "t n"], count: int
) -> tuple[Null, ...]:
    """The first target is the true one; then come ``count`` of every shuffle."""
    figures = {
        "pooled": level.figures.pooled(held.scores, targets),
        "within": level.figures.within(held.scores, targets),
    }
    judged = []
    for shuffle, figure in level.judged:
        start = 1 + count * list(level.shuffles).index(shuffle)
        value, null = figures[figure][0], figures[figure][start : start + count]
        if value.isnan():
            continue
        p = (1 + int((null >= value - 1e-12).sum())) / (1 + count)
        high = float(null.quantile(0.95))
        judged.append(Null(shuffle, figure, p, float(null.mean()), high, count))
    return tuple(judged)


def difference(
    scores: Mapping[str, Score],
    draws: Mapping[str, Draws],
    pair: tuple[str, str],
    figures: Figures,
) -> Difference:
    """The first of the pair minus the second, over the same resampled organisms."""
    one, other = pair

    def lead(which: int) -> Any:  # only the pooled figure is always known
        a, b = ((scores[name].pooled, scores[name].within)[which] for name in pair)
        if a is None or b is None:
            return None
        drawn, stretch = draws[one][which] - draws[other][which], figures.stretch[which]
        return drawn_interval(a.value - b.value, drawn, a.n, _BOOTSTRAP, stretch=stretch)

    return Difference(one, other, lead(0), lead(1))


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
