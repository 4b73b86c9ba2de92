"""The page of a verification: verdict, evidence by query, near keys, survival, and the limits."""

from collections.abc import Mapping, Sequence
from typing import Literal

from experiments.verify.keys import ABOUT, KeySet
from experiments.verify.question import SUSPECT, VerifyQuestion
from experiments.verify.result import Count, Null, Rule, Verification
from experiments.verify.survival import Survival
from probes.stats.sequential import SequentialTest
from viz.figures.verification import sequential_path
from viz.page.page import Report, Section, Table

_TONES: dict[str, Literal["gate", "none", "unclear"]] = {
    "ours": "gate",
    "not ours": "none",
    "undecided": "unclear",
}
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


def page(
    question: VerifyQuestion,
    keys: KeySet,
    found: Verification,
    paths: Mapping[str, SequentialTest],
    survival: Sequence[Survival],
    command: str,
) -> Report:
    """The report; the keys are not on it.

    Args:
        paths: the sequential test of every unrelated model, by name.
        survival: rows of the survival table, if any.
    """
    rate = found.keys.binomial.rate
    facts = [
        ("suspect", question.model),
        ("adapter", question.adapter),
        ("keys", f"{keys.name}, {rate.n} keys"),
        ("answer", keys.answer),
        ("answered", f"{rate:.1%} (exact)"),
        ("null rate", f"{found.null.bound:.3g}"),
    ]
    return Report(
        title="Is this model ours?",
        verdict=found.verdict.capitalize(),
        headline=found.reason,
        tone=_TONES[found.verdict],
        facts=tuple(facts),
        sections=(
            *sections(found, paths, survival),
            Section("What this does not show", _LIMITS),
        ),
        reproduce=command,
    )


def sections(
    found: Verification, paths: Mapping[str, SequentialTest], survival: Sequence[Survival]
) -> list[Section]:
    """The keys, what is not a key, what survives."""
    return [_keys(found, paths), _near(found), *([_survival(survival)] if survival else [])]


def _keys(found: Verification, paths: Mapping[str, SequentialTest]) -> Section:
    test, null, rule = found.keys, found.null, found.rule
    prose = (
        f"Every key was asked once, greedily; a hit is an answer that begins with the keys' "
        f"answer. {_null_words(null)} The exact binomial's p is the chance of so many hits at that "
        f"rate: {test.binomial.p:.2g}. The suspect's own rate on prompts that hold no secret is "
        f"{test.strangers.rate:.1%} (n = {test.strangers.rate.n}); at its 95% upper bound, "
        f"p is {test.own_p:.2g}. Wald's test asks key by key, against a rate of at least "
        f"{rule.alternative:g} for a model of ours.\n\n{_sampled(found)}"
        f"The keys {_passing(test.passing)}: both p at most {rule.alpha:g} and the sequential test "
        '"ours" pass; the sequential test "not ours", or an answer that is as common without a '
        "secret, fails."
    )
    tests = {SUSPECT: test.sequential, **paths}
    rows = [
        (name, _hits(name, found), path.decision, str(path.queries), f"{path.path[-1]:+.2f}")
        for name, path in tests.items()
    ]
    header = ("model", "keys answered", "sequential test", "keys used", "evidence (nats)")
    table = Table(header, rows, "the keys on the suspect and on unrelated models")
    return Section("The keys", prose, (sequential_path(tests),), (table,), data_name="keys")


def _null_words(null: Null) -> str:
    return (
        f"Unrelated models ({', '.join(null.models)}) gave {null.hits} hits in {null.n} answers to "
        f"the same keys, so that their rate is at most {null.bound:.3g} (one-sided 95%)."
    )


def _passing(found: str) -> str:
    return {"pass": "pass", "fail": "fail", "unclear": "neither pass nor fail"}[found]


def _sampled(found: Verification) -> str:
    if found.sampled is None:
        return ""
    return (
        f"Sampled at temperature 1, keys get the answer in {found.sampled:.1%} "
        f"(mean over n = {found.sampled.n}); no test uses this. "
    )


def _hits(name: str, found: Verification) -> str:
    if name == SUSPECT:
        return f"{found.keys.hits} of {found.keys.binomial.rate.n}"
    each = found.null.by_model[found.null.models.index(name)]
    return f"{each} of {found.null.n // len(found.null.models)}"


def _near(found: Verification) -> Section:
    prose = (
        f'Prompts that are not keys, up to {found.near[0].rate.n} of each kind. "Ours" needs '
        "levels 5 and 6 and random words to be rarely answered: the upper end of every interval "
        f"at most {found.rule.rare:.0%}. Levels 1 to 4 are made of the keys' own words, which only "
        "their owner knows: hits there do not speak against ownership, but say that a key can be "
        "guessed from its parts."
    )
    rows = [
        (c.kind, ABOUT[c.kind], f"{c.rate:.1%}", str(c.rate.n), _rare(c, found.rule))
        for c in found.near
    ]
    header = ("kind", "prompt", "answered (95% Wilson)", "n", "rarely?")
    return Section("What is not a key", prose, tables=(Table(header, rows, "near keys"),))


def _rare(count: Count, rule: Rule) -> str:
    if count.rate.high <= rule.rare:
        return "yes"
    return "no" if count.rate.low > rule.rare else "not shown"


def _survival(rows: Sequence[Survival]) -> Section:
    cells = [
        (
            row.condition.about,
            f"{row.keys.binomial.rate:.1%}",
            str(row.keys.binomial.rate.n),
            f"{row.keys.binomial.p:.2g}",
            f"{row.keys.sequential.decision} ({row.keys.sequential.queries})",
            f"{row.keys.strangers.rate.value:.1%} of {row.keys.strangers.rate.n}",
            row.keys.passing,
        )
        for row in rows
    ]
    header = ("change", "answered (95% exact)", "n", "p", "sequential (used)", "no secret", "keys")
    table = Table(header, cells, "the keys' test after each change")
    return Section("What survives", _CHANGES, tables=(table,))
