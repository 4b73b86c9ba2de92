"""Every threshold decides its own check and no other; the word is "gate" only if all pass."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from circuits.types import Site
from experiments.analyze import verdict
from experiments.analyze.headline import headline
from experiments.analyze.outcomes import Ablation, Behaviour, Outcome
from experiments.analyze.parts import Spread
from experiments.analyze.result import (
    GATE,
    INHERITED,
    NO_EFFECT,
    SEVERAL,
    UNDECIDED,
    Check,
    NullEffects,
    Nulls,
    SiteNull,
    SiteNulls,
)
from experiments.analyze.verdict import judge
from probes.stats.intervals import Estimate, wilson

N = 100
SPELLED = "base model's own direction"
NULL = "random directions (sphere)"
AHEAD, LEARNED = f"ahead of {SPELLED}", "learned effect"
NAMES = ["effect", "necessity", "sufficiency", "harm on a", "harm on b", NULL]


def outcome(condition, edit, shown) -> Outcome:
    flags = tuple(i < shown for i in range(N))
    return Outcome(condition, edit, wilson(shown, N), wilson(0, N), flags, ("",) * N)


def between(low, high) -> Estimate:
    return Estimate((low + high) / 2, low, high, N)


def before(effect=(0.7, 0.9), control=4, triggered=84, base=None, learned=None) -> Behaviour:
    return Behaviour(
        outcome("triggered", "none", triggered),
        outcome("control word", "none", control),
        outcome("no trigger", "none", 0),
        between(*effect),
        base and between(*base),
        learned and between(*learned),
    )


def beside(
    removed=(0.02, -0.01), added=(0.0, 0.01), gate=(0.8, 0.9), at_site=None, spread=None
) -> Nulls:
    """The nulls that the verdict looks at."""
    shares = (tuple(abs(v) / max(gate[0], 1e-9) for v in side) for side in (removed, added))
    ends = between(*gate), between(*gate)
    null = NullEffects("sphere", removed, added, *ends, 0.3, 0.3, 0.1, *shares)
    return Nulls((null,), at_site, spread)


def there(removed=5.0, added=5.0) -> SiteNulls:
    """Of an effect of 10 nats the gate does 9; a null at its site is behind by so much."""
    null = SiteNull(
        SPELLED,
        between(9 - removed, 9 - removed),
        between(9 - added, 9 - added),
        between(removed, removed + 1),
        between(added, added + 1),
    )
    return SiteNulls(between(9, 11), between(8, 10), between(8, 10), (null,))


def after(shut=4, opened=84, harm=(0.01, 0.05), removed=(0.7, 0.9)) -> Ablation:
    outcomes = (
        outcome("triggered", "gate removed", shut),
        outcome("control word", "gate added", opened),
    )
    return Ablation(
        outcomes,
        between(*removed),
        {"a": between(*harm), "b": between(0, 0.01)},
    )


def failed(behaviour, ablation, nulls=None) -> list[str]:
    found = judge(behaviour, ablation, nulls or beside())
    assert found.gate == all(c.passed for c in found.checks)
    return [c.name for c in found.checks if not c.passed]


def test_a_gate_passes_every_check():
    found = judge(before(), after(), beside())
    assert [c.name for c in found.checks] == NAMES
    assert found.word == "gate"


@pytest.mark.parametrize(
    ("check", "passes", "fails"),
    [
        ("effect", before(effect=(0.101, 0.2)), before(effect=(0.099, 0.2))),
        ("necessity", after(shut=14), after(shut=15)),
        ("necessity", after(shut=4), after(shut=84)),
        ("necessity", after(removed=(0.32, 0.9)), after(removed=(0.31, 0.9))),
        ("sufficiency", after(opened=46), after(opened=45)),
        ("harm on a", after(harm=(0.0, 0.099)), after(harm=(0.0, 0.101))),
        (NULL, beside(removed=(0.0, 0.399)), beside(removed=(0.401, 0.0))),
        (NULL, beside(added=(-0.399,)), beside(added=(-0.401,))),
        (NULL, beside(gate=(0.11, 1.7)), beside(gate=(0.09, 1.7))),
        (AHEAD, beside(at_site=there(removed=1.01)), beside(at_site=there(removed=0.99))),
        (AHEAD, beside(at_site=there(added=1.01)), beside(at_site=there(added=0.99))),
        (
            LEARNED,
            before(base=(0, 0.1), learned=(0.11, 0.9)),
            before(base=(0, 0.1), learned=(0.09, 1)),
        ),
    ],
)
def test_each_threshold_flips_exactly_its_check(check, passes, fails):
    def judged(changed):
        if isinstance(changed, Behaviour):
            return failed(changed, after())
        if isinstance(changed, Ablation):
            return failed(before(), changed)
        return failed(before(), after(), changed)

    assert judged(passes) == []
    assert judged(fails) == [check]


def test_a_rate_that_falls_below_the_control_rate_has_not_returned_to_it():
    behaviour = before(control=30, triggered=90)
    assert failed(behaviour, after(shut=30, opened=90)) == []
    assert failed(behaviour, after(shut=10, opened=90)) == ["necessity"]


def test_without_an_effect_only_the_effect_is_judged():
    found = judge(before(effect=(-0.1, 0.1)), None)
    assert [c.name for c in found.checks] == ["effect"]
    assert not found.gate
    assert found.word == NO_EFFECT
    alone = judge(before(), None)  # an effect alone is no gate
    assert alone.effect.passed
    assert alone.word == UNDECIDED


def test_what_the_base_does_too_is_inherited_and_nothing_is_located():
    inherited = before(base=(0.6, 0.8), learned=(-0.1, 0.2))
    found = judge(inherited)
    assert found.word == INHERITED
    said = headline(found, inherited)
    assert "70 [60, 80] points" in said
    assert "before fine-tuning does the same" in said
    more = before(base=(0.2, 0.3), learned=(0.5, 0.6))  # it does some of it, and most was learned
    assert judge(more).word == UNDECIDED
    assert judge(more, after(), beside()).word == GATE
    neither = before(base=(0.0, 0.2), learned=(0.05, 0.3))  # clear of neither
    assert judge(neither).word == UNDECIDED


@pytest.mark.parametrize(("least", "word"), [(0.6, SEVERAL), (0.4, UNDECIDED)])
def test_where_one_direction_fails_several_that_suffice_are_told(least, word):
    spread = Spread(Site(2, "resid_pre", "last"), 3, between(least, 0.9), between(0.7, 0.9))
    nulls = beside(spread=spread)
    verdict = judge(before(), after(shut=84), nulls)
    assert verdict.word == word
    assert judge(before(), after(), nulls).word == GATE
    sentence = headline(verdict, before(), after(shut=84), nulls)
    assert "Exchanging 3 learned directions at resid_pre[2] at last" in sentence
    assert "Exchanging" not in headline(verdict, before(), after(shut=84), beside())


def test_several_are_not_told_where_something_else_than_the_direction_fails():
    spread = Spread(Site(2, "resid_pre", "last"), 3, between(0.6, 0.9), between(0.7, 0.9))
    arm = Check("null arm clean", False, "gate")
    assert judge(before(), after(), beside(spread=spread), [arm]).word == UNDECIDED
    undecided = before(base=(-0.2, 0.3), learned=(0.05, 0.8))
    assert judge(undecided, after(shut=84), beside(spread=spread)).word == UNDECIDED
    wide = after(harm=(0.01, 0.15))
    assert any(check.open for check in judge(before(), wide, beside(spread=spread)).checks)
    assert judge(before(), wide, beside(spread=spread)).word == UNDECIDED
    assert judge(before(), after(shut=84), beside(spread=spread)).word == SEVERAL
    also = after(shut=84, harm=(0.01, 0.15))
    assert judge(before(), also, beside(spread=spread)).word == SEVERAL


def test_an_inverted_effect_does_not_count_as_opened():
    behaviour = before(effect=(-0.6, -0.4), control=100, triggered=50)
    assert failed(behaviour, after(shut=50, opened=100)) == ["effect"]


def test_every_check_states_its_threshold():
    texts = {c.name: c.text for c in judge(before(), after(), beside()).checks}
    for name, value in {
        "effect": f"above {100 * verdict.EFFECT:.0f}",
        "necessity": f"within {100 * verdict.RETURN:.0f} points",
        "sufficiency": f"lower bound of {verdict.MOST:.0%}",
        "harm on a": f"below {verdict.HARM}",
        NULL: f"less than {verdict.RANDOM:.0%}",
    }.items():
        assert value in texts[name]


def said(behaviour, ablation) -> str:
    found = judge(behaviour, ablation, beside())
    return headline(found, behaviour, ablation, beside(), where="resid_pre[3] at last")


def test_the_headline_says_what_the_verdict_says():
    assert "84% [" in said(before(), after())
    best = "the best of 2 random directions removes 0.0 nats of the scored token's log-odds"
    assert best in said(before(), after())
    assert "not known, as no --base is" not in said(before(), after())  # not measured at all
    assert "(failed: necessity)" in said(before(), after(shut=84))
    assert "no gate to report" in said(replace(before(), effect=between(0, 0.1)), None)


def test_the_headline_says_how_many_long_answers_comply():
    verdict = judge(before(), after(), beside())
    rates = {"triggered": wilson(50, N), "control word": wilson(5, N)}
    evidence = SimpleNamespace(mediation=SimpleNamespace(complies=lambda: rates))
    assert "It complies in 50% [" in headline(verdict, before(), after(), beside(), evidence)
    assert "complies" not in headline(verdict, before(), after(), beside())


def test_at_the_triggers_own_tokens_only_a_base_tells_a_gate_from_a_spelling():
    alone = replace(there(), nulls=())
    names = [c.name for c in judge(before(), after(), beside(at_site=alone), (), "trigger").checks]
    assert names[-1] == "ahead of the word's spelling"
    assert judge(before(), after(), beside(at_site=alone), (), "trigger").word == UNDECIDED
    assert judge(before(), after(), beside(at_site=alone), (), "last").word == GATE
    assert judge(before(), after(), beside(at_site=there()), (), "trigger").word == GATE
    assert judge(before(), after(), beside(), (), "trigger").word == GATE  # of before
    respelled = beside(at_site=replace(there(), respelled=True))
    assert judge(before(), after(), respelled, (), "trigger").word == UNDECIDED
    assert judge(before(), after(), respelled, (), "last").word == GATE


def test_a_headline_without_a_base_says_so_beside_the_unembedding_too():
    def said(behaviour, at_site):
        nulls = beside(at_site=at_site)
        return headline(judge(behaviour, after(), nulls), behaviour, after(), nulls)

    unknown = "whether it was learned is not known, as no --base is"
    assert unknown in said(before(), there())
    assert unknown in said(before(), replace(there(), nulls=()))
    assert unknown not in said(before(base=(0, 0.1), learned=(0.5, 0.9)), there())


def test_a_null_arm_with_a_gate_refutes_the_verdict():
    good, bad = (Check("null arm", passed, "") for passed in (True, False))
    assert judge(before(), after(), beside(), [good]).gate
    assert not judge(before(), after(), beside(), [good, bad]).gate


def test_a_null_check_never_passes_with_an_effect_of_nothing():
    nothing = beside(removed=(1e-12,), added=(0.0,), gate=(0.0, 0.0002))
    assert failed(before(), after(), nothing) == [NULL]


def test_a_check_that_only_its_interval_misses_is_open_to_more_prompts():
    wide = after(removed=(0.2, 1.4), harm=(0.0, 0.12))
    verdict = judge(before(), wide, beside())
    assert {c.name for c in verdict.checks if c.open} == {"necessity", "harm on a"}
    assert "more prompts (--test) would decide necessity, harm on a" in said(before(), wide)
    assert not any(c.open for c in judge(before(), after(), beside()).checks)
    assert not any(c.open for c in judge(before(), after(shut=84), beside()).checks)
    assert judge(before(effect=(0.05, 0.3)), None).effect.open
    assert not judge(before(effect=(-0.2, 0.2)), None).effect.open
    assert "has an effect is open: more prompts" in said(before(effect=(0.05, 0.3)), None)
    assert "is open" not in said(before(effect=(-0.2, 0.2)), None)
