"""One set of features judged: its figures with intervals, its nulls, its lead over another set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from probes.brittleness.figures import Figures
from probes.brittleness.learners import Learner
from probes.brittleness.nested import HeldOut
from probes.brittleness.records import Difference, Null, Score
from probes.stats.intervals import Estimate, drawn_interval

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

    def lead(which: int) -> Estimate | None:
        a, b = ((scores[name].pooled, scores[name].within)[which] for name in pair)
        if a is None or b is None:
            return None
        drawn, stretch = draws[one][which] - draws[other][which], figures.stretch[which]
        return drawn_interval(a.value - b.value, drawn, a.n, _BOOTSTRAP, stretch=stretch)

    return Difference(one, other, lead(0), lead(1))
