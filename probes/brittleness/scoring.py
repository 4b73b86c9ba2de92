"""One set of features judged: its figures with intervals, its nulls, its lead over another set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from probes.brittleness.figures import Figures, of_draws
from probes.brittleness.learners import Learner
from probes.brittleness.nested import HeldOut
from probes.brittleness.records import Difference, Null, Score
from probes.stats.intervals import Estimate

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
    level: Level, found: HeldOut, target: Float[Tensor, "n"], draws: Draws
) -> tuple[Estimate, Estimate | None]:
    """The pooled figure and, where any part says something, the one within parts."""
    figures, own = level.figures, found.scores[:1]
    pooled = _interval(figures, float(figures.pooled(own, target[None])), draws, 0)
    judged = figures.judged(target)
    if not judged:
        return pooled, None
    within = _interval(figures, float(figures.within(own, target[None])), draws, 1)
    return pooled, replace(within, n=judged)


def _interval(figures: Figures, value: float, draws: Draws, which: int) -> Estimate:
    """The interval, cut to the figure's own range."""
    stretch = figures.stretch[which]
    found = of_draws(value, draws[which], figures.organisms, _BOOTSTRAP, stretch)
    return replace(found, low=max(found.low, figures.lowest), high=min(found.high, 1.0))


def nulls(
    level: Level, found: HeldOut, targets: Float[Tensor, "t n"], count: int
) -> tuple[Null, ...]:
    """The first target is the true one; then come ``count`` of every shuffle."""
    figures = {
        "pooled": level.figures.pooled(found.scores, targets),
        "within": level.figures.within(found.scores, targets),
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
    a, b = scores[one], scores[other]
    pooled = a.pooled.value - b.pooled.value
    first = of_draws(
        pooled, draws[one][0] - draws[other][0], a.pooled.n, _BOOTSTRAP, figures.stretch[0]
    )
    if a.within is None or b.within is None:
        return Difference(one, other, first, None)
    within = a.within.value - b.within.value
    second = of_draws(
        within, draws[one][1] - draws[other][1], a.within.n, _BOOTSTRAP, figures.stretch[1]
    )
    return Difference(one, other, first, second)
