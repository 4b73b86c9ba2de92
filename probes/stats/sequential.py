"""Is this model ours? Fingerprint verification as a test, of fixed size or sequential.

A fingerprinted model answers its trigger prompts with the planted behaviour; an unrelated model
does so at some small null rate. `exact_binomial` asks of n answers whether they exceed it;
`sprt` (Wald 1945) asks after every answer, and stops as soon as it may, which takes fewer queries
on average than any test of fixed size with the same error rates (Wald & Wolfowitz 1948).

The null rate has to be measured on unrelated models. None of n hits is not a rate of 0: take
`null_rate_bound` of them. Both tests assume that answers are independent and of one rate.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from scipy.stats import beta as beta_distribution
from scipy.stats import binom

from circuits.errors import expect
from probes.stats.checks import check_level
from probes.stats.intervals import Estimate

Decision = Literal["ours", "not ours", "undecided"]


@dataclass(frozen=True)
class BinomialTest:
    """Hits among n answers against a null rate.

    Attributes:
        rate: share of hits with its two-sided exact interval (Clopper & Pearson 1934).
        p: chance of so many hits or more at the null rate.
        null_rate: of an unrelated model.
    """

    rate: Estimate
    p: float
    null_rate: float


@dataclass(frozen=True)
class SequentialTest:
    """A sequential probability ratio test, up to its decision.

    Attributes:
        path: log likelihood ratio (nats, alternative over null) after each query used.
        decision: "undecided" if the answers ran out between the bounds.
        upper, lower: at or above the upper bound the model is ours, at or below the lower not.
        null_rate, alternative_rate: of hits, of an unrelated model and of ours.
        alpha, beta: chances allowed of calling an unrelated model ours, and ours unrelated.
    """

    path: tuple[float, ...]
    decision: Decision
    upper: float
    lower: float
    null_rate: float
    alternative_rate: float
    alpha: float
    beta: float

    @property
    def queries(self) -> int:
        """How many answers were used."""
        return len(self.path)


def exact_binomial(hits: int, n: int, null_rate: float, level: float = 0.95) -> BinomialTest:
    """Are ``hits`` of ``n`` answers more than the null rate gives?

    Raises:
        UserError: impossible counts, or a null rate outside (0, 1).
    """
    _check_counts(hits, n)
    _check_null(null_rate)
    check_level(level)
    tail = (1 - level) / 2
    low = float(beta_distribution.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(beta_distribution.isf(tail, hits + 1, n - hits)) if hits < n else 1.0
    rate = Estimate(hits / n, low, high, n, level, "Clopper-Pearson")
    return BinomialTest(rate, float(binom.sf(hits - 1, n, null_rate)), null_rate)


def null_rate_bound(hits: int, n: int, level: float = 0.95) -> float:
    """One-sided exact upper bound of a rate (Clopper & Pearson 1934); above 0 even for no hits.

    Raises:
        UserError: impossible counts.
    """
    _check_counts(hits, n)
    check_level(level)
    return float(beta_distribution.ppf(level, hits + 1, n - hits)) if hits < n else 1.0


def sprt(
    outcomes: Iterable[bool],
    null_rate: float,
    alternative_rate: float,
    alpha: float = 0.01,
    beta: float = 0.01,
) -> SequentialTest:
    """Wald's test of answers in the order of their queries; those after a decision are not used.

    The bounds ln((1 - beta) / alpha) and ln(beta / (1 - alpha)) hold the error rates below
    alpha / (1 - beta) and beta / (1 - alpha), and their sum below alpha + beta.

    Args:
        outcomes: whether each answer showed the behaviour.
        null_rate: of an unrelated model, in (0, 1); see `null_rate_bound`.
        alternative_rate: of ours, above the null rate and below 1.
        alpha, beta: chances allowed of a false "ours" and of a false "not ours".

    Raises:
        UserError: no outcome, or rates or chances that make no test.
    """
    upper, lower = wald_bounds(alpha, beta)
    _check_null(null_rate)
    expect(
        null_rate < alternative_rate < 1,
        f"one in ({null_rate}, 1)",
        alternative_rate,
        "take a lower bound of ours",
        "alternative rate",
    )
    # What a hit and a miss add to the log likelihood ratio.
    hit = math.log(alternative_rate / null_rate)
    miss = math.log((1 - alternative_rate) / (1 - null_rate))
    path: list[float] = []
    total, decision = 0.0, "undecided"
    for outcome in outcomes:
        total += hit if outcome else miss
        path.append(total)
        if total >= upper or total <= lower:
            decision = "ours" if total >= upper else "not ours"
            break
    expect(path, "at least one answer", "none", "query the model", "outcomes")
    return SequentialTest(
        tuple(path), decision, upper, lower, null_rate, alternative_rate, alpha, beta
    )


def wald_bounds(alpha: float, beta: float) -> tuple[float, float]:
    """(upper, lower) bound of the log likelihood ratio in nats (Wald 1945).

    Raises:
        UserError: chances outside (0, 1), or that sum to 1 or more.
    """
    expect(
        0 < alpha < 1 and 0 < beta < 1 and alpha + beta < 1,
        "two in (0, 1) with a sum below 1",
        f"{alpha} and {beta}",
        "pass 0.01 for 1 %",
        "alpha and beta",
    )
    return math.log((1 - beta) / alpha), math.log(beta / (1 - alpha))


def _check_null(null_rate: float) -> None:
    expect(
        0 < null_rate < 1,
        "one in (0, 1)",
        null_rate,
        "take null_rate_bound of the hits on unrelated models",
        "null rate",
    )


def _check_counts(hits: int, n: int) -> None:
    expect(
        n >= 1 and 0 <= hits <= n, "0 <= hits <= n and n >= 1", f"{hits} of {n}", "recount", "hits"
    )
