"""Is a suspect model ours? What was counted, the tests of it, and the rule that gives the verdict.

Two questions are kept apart. Do the *keys* get their answer more often than chance, by the exact
binomial and by Wald's sequential test (``probes.stats.sequential``)? Chance is measured twice: on
unrelated models asked the same keys, and on the suspect asked prompts that hold no secret, so that
a model that gives the answer to everything passes nothing. And do *near keys* not get it?
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from circuits.errors import expect
from experiments.checks import checked
from experiments.verify.keys import SECRETIVE, STRANGERS
from probes.stats.intervals import Estimate, rate
from probes.stats.sequential import (
    BinomialTest,
    Decision,
    SequentialTest,
    exact_binomial,
    null_rate_bound,
    sprt,
)

SCHEMA = "gatescope.verification/1"
Passing = Literal["pass", "fail", "unclear"]
AnswersByKind = dict[str, list[str]]  # in the order of the prompts of a kind


@dataclass(frozen=True)
class Rule:
    """The thresholds of the verdict, fixed before anything is asked.

    Attributes:
        alternative: share of keys that a model of ours is expected to answer at least.
        alpha, beta: chances allowed of a false "ours" and of a false "not ours" on the keys.
        rare: prompts are rarely answered where the interval's upper end is at most this share.
    """

    alternative: Annotated[
        float, typer.Option(help="Share of keys that ours answers at least.")
    ] = 0.5
    alpha: Annotated[float, typer.Option(help='Chance allowed of a false "ours".')] = 0.01
    beta: Annotated[float, typer.Option(help='Chance allowed of a false "not ours".')] = 0.01
    rare: Annotated[float, typer.Option(help="Near keys answered at most this often.")] = 0.1

    def __post_init__(self) -> None:
        checked(self)
        for name in ("alternative", "alpha", "beta", "rare"):
            share = getattr(self, name)
            expect(0 < share < 1, "a share in (0, 1)", share, of=f"--{name}")
        both = f"{self.alpha} and {self.beta}"
        expect(self.alpha + self.beta < 1, "a sum below 1", both, of="--alpha and --beta")

    def path(self, shown: Sequence[bool], null_rate: float) -> SequentialTest:
        """Wald's test of whether answers in this order are ours, against a null rate."""
        return sprt(shown, null_rate, self.alternative, self.alpha, self.beta)


@dataclass(frozen=True)
class Null:
    """Hits on unrelated models asked the same keys.

    Attributes:
        by_model: hits of each of ``models``, which answer all keys each.
        n: answers of all models together.
        bound: one-sided 95 % upper bound of their rate, which is tested against.
    """

    models: tuple[str, ...]
    by_model: tuple[int, ...]
    n: int
    bound: float

    @property
    def hits(self) -> int:
        """Hits of all models together."""
        return sum(self.by_model)


@dataclass(frozen=True)
class Count:
    """How many prompts of a kind were answered with the answer."""

    kind: str
    hits: int
    rate: Estimate


@dataclass(frozen=True)
class KeyTest:
    """The keys' part of a verification.

    Attributes:
        hits: keys that were answered.
        binomial: hits against the unrelated models' rate.
        sequential: the same, one key after another.
        strangers: the suspect's answers to prompts that hold no secret.
        own_p: chance of so many hits at the upper bound of that rate; 1 where all were hits.
        passing: see :func:`passing`.
    """

    hits: int
    binomial: BinomialTest
    sequential: SequentialTest
    strangers: Count
    own_p: float
    passing: Passing


@dataclass(frozen=True)
class Condition:
    """One change to a model: what is done to it, and how much of that."""

    change: str
    amount: float

    @property
    def name(self) -> str:
        """A file name of its own."""
        return f"{self.change}-{self.amount:g}".replace(" ", "-")

    @property
    def about(self) -> str:
        """The change in words."""
        return {
            "unchanged": "none",
            "fine-tuned": f"{self.amount:g} examples",
            "merged": f"merged, w = {self.amount:g}",
            "rounded": "8-bit weights",
        }[self.change]


@dataclass(frozen=True)
class Survival:
    """The keys' test under one condition."""

    condition: Condition
    keys: KeyTest


@dataclass(frozen=True)
class Verification:
    """What is known of a suspect.

    Attributes:
        near: counts of every level of near keys, and of random words.
        sampled: rate of the answer to keys at temperature 1, mean over keys; None if not asked.
        verdict, reason: by :func:`verdict`.
        survival: the keys' test after changes to the model, if that was asked.
    """

    rule: Rule
    null: Null
    keys: KeyTest
    near: tuple[Count, ...]
    sampled: Estimate | None
    verdict: Decision
    reason: str
    survival: tuple[Survival, ...] = ()


@dataclass(frozen=True)
class VerifyResult:
    """A verification, and every answer: by model, by kind of prompt."""

    verification: Verification
    answers: Mapping[str, AnswersByKind]


def counted(kind: str, shown: Sequence[bool]) -> Count:
    """Hits among answers to prompts of a kind, with the score interval of their share."""
    return Count(kind, sum(shown), rate(shown))


def null_of(models: Mapping[str, Sequence[bool]], rule: Rule) -> Null:
    """The null rate: a 95 % upper bound of the hits of unrelated models on the keys.

    Raises:
        UserError: no model, or so few answers that the bound reaches the alternative.
    """
    flags = [flag for shown in models.values() for flag in shown]
    expect(flags, "a model other than the suspect", "none", "name one", of="--unrelated")
    bound = null_rate_bound(sum(flags), len(flags))
    expect(
        bound < rule.alternative,
        f"a bound below the alternative {rule.alternative}",
        f"{bound:.2f} ({sum(flags)} of {len(flags)} answers of unrelated models)",
        "add keys or --unrelated",
        of="null rate",
    )
    return Null(tuple(models), tuple(map(sum, models.values())), len(flags), bound)


def key_test(shown: Sequence[bool], strangers: Sequence[bool], null: Null, rule: Rule) -> KeyTest:
    """Test the keys' answers, in the order they were asked.

    Args:
        shown: whether each key got its answer.
        strangers: the same of the suspect's prompts that hold no secret.
    """
    hits, n = sum(shown), len(shown)
    binomial = exact_binomial(hits, n, null.bound)
    sequential = rule.path(shown, null.bound)
    own = null_rate_bound(sum(strangers), len(strangers))
    own_p = exact_binomial(hits, n, own).p if own < 1 else 1.0
    secretless = counted("prompts without a secret", strangers)
    outcome = passing(binomial.p, sequential.decision, own_p, secretless, rule)
    return KeyTest(hits, binomial, sequential, secretless, own_p, outcome)


def passing(p: float, decision: Decision, own_p: float, strangers: Count, rule: Rule) -> Passing:
    """Whether the keys pass.

    They pass if the binomial test, the sequential test and the suspect's own rate without a
    secret all say that they are answered more often than by chance. They fail if the sequential
    test says "not ours", or if the answer is common without a secret and no more common with one.
    """
    if p <= rule.alpha and decision == "ours" and own_p <= rule.alpha:
        return "pass"
    common = strangers.rate.low > rule.rare and own_p > rule.alpha
    return "fail" if decision == "not ours" or common else "unclear"


def verdict(keys: KeyTest, near: Sequence[Count], rule: Rule) -> tuple[Decision, str]:
    """The verdict and the reason for it.

    ours: the keys pass, and prompts with at most one word of a key are rarely answered. not ours:
    the keys fail. undecided: anything else. Near keys made of a key's own words take no part: only
    who knows the secret can ask them; where they are not rarely answered, the reason says so.
    """
    hits = f"{keys.hits} of {keys.binomial.rate.n} keys got the answer"
    if keys.passing == "fail":
        if keys.sequential.decision == "not ours":
            return "not ours", f"{hits}, as few as of an unrelated model."
        share = f"{keys.strangers.rate.value:.0%}"
        return "not ours", f"{hits}, but so did {share} of prompts that hold no secret."
    if keys.passing == "unclear":
        return "undecided", f"{hits}: too many for an unrelated model or too few for ours."
    often = [count for count in near if count.rate.high > rule.rare]
    if open_to_all := _named(count for count in often if count.kind not in SECRETIVE):
        reason = f"{hits}, but other prompts are not shown to be rarely answered: {open_to_all}."
        return "undecided", reason
    loose = f" It is loose to those who know words of a key: {_named(often)}." if often else ""
    return "ours", f"{hits}, and prompts without a key's words rarely do.{loose}"


def _named(counts: Iterable[Count]) -> str:
    return ", ".join(f"{c.kind} ({c.rate.value:.0%})" for c in counts)


def verified(
    shown: Sequence[bool],
    near: Mapping[str, Sequence[bool]],
    null: Null,
    rule: Rule,
    sampled: Estimate | None = None,
) -> Verification:
    """All tests and the verdict, from which answers were hits.

    Args:
        shown: of the keys, in the order they were asked.
        near: of all other prompts, by kind; the kinds of ``keys.STRANGERS`` among them.
    """
    strangers = [flag for kind in STRANGERS for flag in near[kind]]
    keys = key_test(shown, strangers, null, rule)
    counts = tuple(counted(kind, flags) for kind, flags in near.items())
    return Verification(rule, null, keys, counts, sampled, *verdict(keys, counts, rule))
