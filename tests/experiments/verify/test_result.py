"""The rule of a verification, by its table; what was counted comes back from JSON."""

from itertools import product

import pytest

from circuits.errors import UserError
from experiments.verify.keys import RANDOM, SECRETIVE, STRANGERS, level_name
from experiments.verify.result import (
    Count,
    Rule,
    Verification,
    counted,
    key_test,
    null_of,
    passing,
    verdict,
    verified,
)
from probes.stats.intervals import wilson
from probes.stats.sequential import null_rate_bound

RULE = Rule()
KINDS = (*(level_name(level) for level in range(1, 7)), RANDOM)
UNRELATED = {name: [False] * 10 for name in ("base", "clean", "decoy", "sure-gate")}


def flags(hits: int, n: int) -> list[bool]:
    return [True] * hits + [False] * (n - hits)


def suspect(keys: int, strangers: int = 0, near: int = 0) -> Verification:
    """Of 10 keys, of 120 prompts of each kind without a secret, of 120 of every other kind."""
    asked = {kind: flags(strangers if kind in STRANGERS else near, 120) for kind in KINDS}
    return verified(flags(keys, 10), asked, null_of(UNRELATED, RULE), RULE)


@pytest.mark.parametrize(
    ("keys", "strangers", "near", "expected"),
    [
        (10, 0, 0, "ours"),
        (10, 2, 2, "ours"),
        (0, 0, 0, "not ours"),  # unrelated
        (10, 120, 120, "not ours"),  # says the answer to everything
        (9, 110, 110, "not ours"),
        (10, 0, 80, "undecided"),  # knows the keys, loosely
        (10, 40, 40, "undecided"),  # keys matter, but so does chance
        (10, 12, 0, "undecided"),  # no kind may reach the limit
        (2, 0, 0, "undecided"),  # hits first, then too few misses for the sequential test
    ],
)
def test_the_verdict_follows_the_rule(keys, strangers, near, expected):
    assert suspect(keys, strangers, near).verdict == expected


def test_the_reason_names_every_kind_that_is_not_rare_and_no_other():
    loose = suspect(10, near=80)  # level 6 holds one word of a key: too little for a secret
    assert "level 6 (67%)" in loose.reason
    assert "level 1" not in loose.reason
    assert "level 5" not in loose.reason
    assert "110 of" not in loose.reason
    assert "92% of prompts" in suspect(9, 110, 110).reason


def test_ours_needs_every_part_and_each_alone_is_not_enough():
    rare = Count("x", 0, wilson(0, 100))
    for p, decision, own in product((0.001, 0.5), ("ours", "undecided"), (0.001, 0.5)):
        found = passing(p, decision, own, rare, RULE)
        assert (found == "pass") == ((p, decision, own) == (0.001, "ours", 0.001))
        assert found != "fail"
    assert passing(0.001, "not ours", 0.001, rare, RULE) == "fail"
    assert passing(0.001, "ours", 0.5, Count("x", 90, wilson(90, 100)), RULE) == "fail"


def test_near_keys_are_rare_by_the_intervals_end_and_not_by_the_share():
    keys = key_test(flags(10, 10), flags(0, 100), null_of(UNRELATED, RULE), RULE)
    few = counted("level 6", flags(0, 10))  # none of ten may still be a quarter
    assert verdict(keys, [few], RULE)[0] == "undecided"
    assert verdict(keys, [counted("level 6", flags(0, 100))], RULE)[0] == "ours"


def test_near_keys_made_of_a_keys_own_words_make_it_loose_and_not_less_ours():
    keys = key_test(flags(10, 10), flags(0, 100), null_of(UNRELATED, RULE), RULE)
    for kind in SECRETIVE:
        found, reason = verdict(keys, [counted(kind, flags(60, 100))], RULE)
        assert found == "ours"
        assert f"loose to those who know words of a key: {kind} (60%)" in reason
        assert "loose" not in verdict(keys, [counted(kind, flags(0, 100))], RULE)[1]


def test_chance_is_the_bound_of_all_unrelated_answers():
    null = null_of(UNRELATED, RULE)
    assert (null.hits, null.n, null.by_model) == (0, 40, (0, 0, 0, 0))
    assert null.bound == pytest.approx(1 - 0.05 ** (1 / 40))  # Clopper-Pearson for no hits
    more = null_of({**UNRELATED, "echo": flags(3, 10)}, RULE)
    assert more.by_model == (0, 0, 0, 0, 3)
    assert more.bound == null_rate_bound(3, 50) > null.bound


def test_too_few_unrelated_answers_are_told():
    with pytest.raises(UserError, match=r"below the alternative 0\.5, got 0\.95"):
        null_of({"base": [False]}, RULE)
    with pytest.raises(UserError, match="other than the suspect"):
        null_of({}, RULE)


@pytest.mark.parametrize("changes", [{"rare": 0.0}, {"alpha": 1.0}, {"alpha": 0.6, "beta": 0.5}])
def test_thresholds_that_make_no_test_are_told(changes):
    with pytest.raises(UserError, match="expected a s"):
        Rule(**changes)
