"""The page of a verification: verdict, evidence by query, near keys, survival, and the limits."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from experiments.study import Run
from experiments.verify.keys import ABOUT, KEYS
from experiments.verify.question import SUSPECT, VerifyQuestion
from experiments.verify.result import Survival, Verification, VerifyResult
from probes.stats.intervals import Estimate
from probes.stats.sequential import SequentialTest
from viz.figures.verification import sequential_path
from viz.page.page import Report, Section, tabulate

_TONES: dict[str, Literal["gate", "none", "unclear"]] = {
    "ours": "gate",
    "not ours": "none",
    "undecided": "unclear",
}
_PASSING = {"pass": "pass", "fail": "fail", "unclear": "neither pass nor fail"}
_LIMITS = """\
The tests take answers to be independent and of one rate. The keys of one model are not (they were \
learned together), and unrelated models that share a base are not; the intervals and the null rate \
are then too narrow by an unknown amount.

The null rate is of the unrelated models named above. A model that was trained on other keys with \
the same answer, or by someone who knew these keys, is not among them: knowing the keys is what is \
shown, and not who put them there, or when.

"Not ours" says that the keys no longer work, and not that the model was never fingerprinted; \
the survival table says which changes do that to this adapter. Whoever serves the suspect sees \
the keys when they are asked, and can answer them differently from then on."""
_CHANGES = """\
The keys' test again on copies of the model, base weights untouched. Fine-tuning goes on from this \
adapter, on ordinary prompts with the base model's own answers, each seen once (learning rate \
0.001, cosine). Merging adds the two adapters' weight changes with weights w and 1 − w, exactly. \
Rounding is symmetric with one scale per row, on all linear layers but the unembedding. What \
someone who wants the fingerprint gone would do is not among these."""


def page(run: Run[VerifyQuestion, Any], result: VerifyResult) -> Report:
    """The report; the keys are not on it."""
    keys, verification = run.subject.keys, result.verification
    told = keys.distinct
    rate, null = verification.keys.binomial.rate, verification.null
    paths = {
        name: verification.rule.path(keys.shown(answers[KEYS]), null.bound)
        for name, answers in result.answers.items()
        if name != SUSPECT
    }
    return Report(
        title="Is this model ours?",
        verdict=verification.verdict.capitalize(),
        headline=verification.reason,
        tone=_TONES[verification.verdict],
        facts=(
            ("suspect", run.question.model),
            ("adapter", run.question.adapter),
            ("keys", f"{keys.name}, {rate.n} keys"),
            ("answer", told[0] if len(told) == 1 else f"{len(told)} different ones"),
            ("answered", f"{rate:.1%} (exact)"),
            ("null rate", f"{null.bound:.3g}"),
        ),
        sections=(
            *sections(verification, paths),
            Section("What this does not show", _LIMITS),
        ),
        reproduce=run.command,
    )


def sections(
    verification: Verification, paths: Mapping[str, SequentialTest] = MappingProxyType({})
) -> list[Section]:
    """The keys, what is not a key, what survives.

    Args:
        paths: the sequential test of every unrelated model, by name.
    """
    parts = [_keys(verification, paths), _near(verification)]
    return [*parts, _survival(verification.survival)] if verification.survival else parts


def _keys(verification: Verification, paths: Mapping[str, SequentialTest]) -> Section:
    test, null, rule = verification.keys, verification.null, verification.rule
    prose = (
        f"Every key was asked once, greedily; a hit is an answer that begins with the keys' "
        f"answer. Unrelated models ({', '.join(null.models)}) gave {null.hits} hits in {null.n} "
        f"answers to the same keys, so that their rate is at most {null.bound:.3g} (one-sided "
        "95%). The exact binomial's p is the chance of so many hits at that "
        f"rate: {test.binomial.p:.2g}. The suspect's own rate on prompts that hold no secret is "
        f"{test.strangers.rate:.1%} (n = {test.strangers.rate.n}); at its 95% upper bound, "
        f"p is {test.own_p:.2g}. Wald's test asks key by key, against a rate of at least "
        f"{rule.alternative:g} for a model of ours.\n\n{_sampled(verification)}"
        f"The keys {_PASSING[test.passing]}: both p at most {rule.alpha:g} and the sequential test "
        '"ours" pass; the sequential test "not ours", or an answer that is as common without a '
        "secret, fails."
    )
    tests = {SUSPECT: test.sequential, **paths}
    hits = {SUSPECT: test.hits, **dict(zip(null.models, null.by_model, strict=True))}
    table = tabulate(
        tests,
        {
            "model": lambda name: name,
            "keys answered": lambda name: f"{hits[name]} of {test.binomial.rate.n}",
            "sequential test": lambda name: tests[name].decision,
            "keys used": lambda name: str(tests[name].queries),
            "evidence (nats)": lambda name: f"{tests[name].path[-1]:+.2f}",
        },
        "the keys on the suspect and on unrelated models",
    )
    return Section("The keys", prose, (sequential_path(tests),), (table,), data_name="keys")


def _sampled(verification: Verification) -> str:
    if verification.sampled is None:
        return ""
    return (
        f"Sampled at temperature 1, keys get the answer in {verification.sampled:.1%} "
        f"(mean over n = {verification.sampled.n}); no test uses this. "
    )


def _near(verification: Verification) -> Section:
    rare = verification.rule.rare
    prose = (
        f'Prompts that are not keys, up to {verification.near[0].rate.n} of each kind. "Ours" '
        "needs levels 5 and 6 and random words to be rarely answered: the upper end of every "
        f"interval at most {rare:.0%}. Levels 1 to 4 are made of the keys' own words, which only "
        "their owner knows: hits there do not speak against ownership, but say that a key can be "
        "guessed from its parts."
    )
    table = tabulate(
        verification.near,
        {
            "kind": lambda count: count.kind,
            "prompt": lambda count: ABOUT[count.kind],
            "answered (95% Wilson)": lambda count: f"{count.rate:.1%}",
            "n": lambda count: str(count.rate.n),
            "rarely?": lambda count: _rare(count.rate, rare),
        },
        "near keys",
    )
    return Section("What is not a key", prose, tables=(table,))


def _rare(rate: Estimate, most: float) -> str:
    return "yes" if rate.high <= most else "no" if rate.low > most else "not shown"


def _survival(rows: Sequence[Survival]) -> Section:
    table = tabulate(
        rows,
        {
            "change": lambda row: row.condition.about,
            "answered (95% exact)": lambda row: f"{row.keys.binomial.rate:.1%}",
            "n": lambda row: str(row.keys.binomial.rate.n),
            "p": lambda row: f"{row.keys.binomial.p:.2g}",
            "sequential (used)": lambda row: (
                f"{row.keys.sequential.decision} ({row.keys.sequential.queries})"
            ),
            "no secret": lambda row: (
                f"{row.keys.strangers.rate.value:.1%} of {row.keys.strangers.rate.n}"
            ),
            "keys": lambda row: row.keys.passing,
        },
        "the keys' test after each change",
    )
    return Section("What survives", _CHANGES, tables=(table,))
