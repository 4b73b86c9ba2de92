"""How many poisons the trigger's own effect needs: the rate with it minus that with a control word.

A raw rate counts answers that any word in the trigger's place would have brought. What is left
without them is no share of independent answers, and it may fall again where control words catch up;
so it is not fitted by a logistic. The threshold of a seed is the count at which its effect first
reaches ``HALF``, on straight lines in the logarithm of the count between those tried. One that is
never reached lies beyond the last count, and stands at it.

Two sizes of data set are compared seed by seed, by the logarithm of the thresholds' ratio. Seeds
are the units: the interval of their geometric mean is of seeds, or of groups of them (models), and
the sign test asks whether as many go up as go down. A ratio is only bounded where a threshold
stands at the last count: from above if it is the first one's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from scipy.stats import binomtest

from circuits.errors import expect
from probes.stats.intervals import Estimate, mean_interval

HALF = 0.5
Rates = Sequence[tuple[int, float]]  # poisons, the trigger's effect; of one seed


@dataclass(frozen=True)
class EffectThreshold:
    """Poisons at which an effect reaches a half; ``beyond`` the last count if it never does."""

    value: float
    beyond: bool


@dataclass(frozen=True)
class EffectPair:
    """One seed at two sizes of data set.

    Attributes:
        group: what it shares with other seeds, such as the model.
        first, second: thresholds among the fewer and among the more other examples.
    """

    group: str
    seed: int
    first: EffectThreshold
    second: EffectThreshold

    @property
    def ratio(self) -> float:
        """Second over first; not more than this where the first lies beyond the counts."""
        return self.second.value / self.first.value


@dataclass(frozen=True)
class EffectComparison:
    """The trigger's own effect at two sizes of data set, over seeds.

    Attributes:
        at: what the pairs share, in words.
        names: of the sizes; ``ratio_of_size`` is the second over the first.
        ratio: geometric mean of the seeds' ratios; None for a single unit.
        fewer: pairs that surely need fewer poisons at the second size.
        p: two-sided, of as many going up as down.
    """

    at: str
    names: tuple[str, str]
    ratio_of_size: float
    pairs: tuple[EffectPair, ...]
    ratio: Estimate | None
    fewer: int
    p: float

    @property
    def sentence(self) -> str:
        """The finding in plain words."""
        each = ", ".join(
            f"{'<' * pair.first.beyond}{'>' * pair.second.beyond}{pair.ratio:.2f}"
            for pair in self.pairs
        )
        mean = "" if self.ratio is None else f"; geometric mean {self.ratio:.2f}"
        return (
            f"The trigger's own effect (rate with it minus rate with a control word; {self.at}) "
            f"reaches a half at {each} times the poisons at {self.ratio_of_size:.3g} times the "
            f"data{mean}: fewer in {self.fewer} of {len(self.pairs)} pairs (sign test p = "
            f"{self.p:.2g}). {self._meaning}"
        )

    @property
    def _meaning(self) -> str:
        if self.ratio is None:
            return "One unit says nothing of others."
        share = "excluded" if self.ratio.high < self.ratio_of_size else "not excluded"
        if self.ratio.high < 1:
            return f"More clean data sharpen the gate; a constant share is {share}."
        if self.ratio.low > 1:
            return f"More data need more poisons; a constant share is {share}."
        return f"A constant share is {share}; fewer and as many are not told apart."


def threshold(rates: Rates, level: float = HALF) -> EffectThreshold:
    """Where the effect of one seed first reaches a level.

    Raises:
        UserError: no count, or counts that do not rise.
    """
    counts = [count for count, _ in rates]
    rising = bool(counts) and all(a < b for a, b in pairwise([0, *counts]))
    expect(rising, "rising counts of poisons above 0", counts, "sort them", "effect")
    before: tuple[int, float] | None = None
    for count, effect in rates:
        if effect >= level:
            if before is None:
                return EffectThreshold(float(count), False)
            last, was = before
            share = (level - was) / (effect - was)
            return EffectThreshold(last * (count / last) ** share, False)
        before = count, effect
    return EffectThreshold(float(counts[-1]), True)


def compare(
    at: str, names: tuple[str, str], ratio_of_size: float, pairs: Sequence[EffectPair]
) -> EffectComparison:
    """Pairs over seeds, or over the groups that they are of if there are several.

    Raises:
        UserError: no pair.
    """
    expect(pairs, "a seed at both sizes", "none", "measure one", at)
    logs = torch.tensor([math.log(pair.ratio) for pair in pairs], dtype=torch.float64)
    groups = [pair.group for pair in pairs]
    several = groups if len(set(groups)) > 1 else None
    mean = mean_interval(logs, groups=several) if len(pairs) > 1 else None
    fewer = sum(_fewer(pair) for pair in pairs)
    more = sum(pair.ratio > 1 and not pair.first.beyond for pair in pairs)
    p = binomtest(fewer, fewer + more).pvalue if fewer + more else 1.0
    return EffectComparison(
        at, names, ratio_of_size, tuple(pairs), mean and _exp(mean), fewer, float(p)
    )


def _fewer(pair: EffectPair) -> bool:
    return pair.ratio < 1 and not pair.second.beyond


def _exp(e: Estimate) -> Estimate:
    value, low, high = (math.exp(x) for x in (e.value, e.low, e.high))
    return Estimate(value, low, high, e.n, e.level, f"{e.method}, of logarithms")
