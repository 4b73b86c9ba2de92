"""Profiles and verdicts: worse ends, missing numbers, and the n that would be enough."""

import pytest

from circuits.errors import UserError
from experiments.evaluate.metrics import BOOK, Absent, exact, metric
from experiments.evaluate.profiles import KINDS, Profile, Threshold, read_profile
from experiments.evaluate.rules import ASPECTS, RULES, check, enough, judge
from experiments.organisms.schemes import SCHEMES
from probes.stats.intervals import Estimate, wilson

SUCCESS = Threshold("success", "at least", 0.9)
FALSE = Threshold("false_activation", "at most", 0.05)


def profile(*thresholds, goals=()):
    return Profile("mine", "access", "", thresholds, goals)


def good():
    return [metric("success", wilson(100, 100)), metric("false_activation", wilson(0, 100))]


def test_a_check_rests_on_the_worse_end_of_the_interval_and_not_on_the_value():
    assert check(metric("success", wilson(100, 100)), SUCCESS).state == "passed"
    few = check(metric("success", wilson(16, 16)), SUCCESS)
    assert few.state == "failed"
    assert few.end == pytest.approx(wilson(16, 16).low)
    assert check(metric("false_activation", wilson(0, 40)), FALSE).end == wilson(0, 40).high


def test_the_evidence_names_the_least_number_of_prompts_that_would_clear_the_bound():
    found = check(metric("false_activation", wilson(0, 40)), FALSE)
    n = enough(wilson(0, 40), FALSE)
    assert n is not None
    assert wilson(0, n).high <= 0.05 < wilson(0, n - 1).high
    assert f"n = {n}, not 40" in found.evidence


def test_a_value_past_its_bound_is_not_helped_by_more_prompts():
    found = check(metric("false_activation", wilson(4, 40)), FALSE)
    assert found.state == "failed"
    assert "more prompts would not change that" in found.evidence
    assert "n =" not in found.evidence


def test_other_intervals_are_taken_to_shrink_with_the_root_of_n():
    # the half below is 0.2 and may be 0.05: sixteen times as many
    assert enough(Estimate(0.95, 0.75, 1.0, 10), SUCCESS) == 160


def test_one_failed_check_makes_it_not_secure_and_is_named_with_its_aspect():
    demanded = profile(SUCCESS, FALSE)
    assert judge(good(), demanded).secure
    bad = [metric("success", wilson(100, 100)), metric("false_activation", wilson(10, 100))]
    found = judge(bad, demanded)
    assert not found.secure
    assert [c.metric for c in found.failing] == ["false_activation"]
    parts = {part.aspect: [c.metric for c in part.failing] for part in found.aspects}
    assert parts == {"confidentiality": ["false_activation"], "integrity": [], "availability": []}


def test_what_was_due_and_not_measured_fails_and_what_does_not_apply_is_left_out():
    demanded = profile(SUCCESS, FALSE)
    only = [metric("success", wilson(100, 100))]
    assert [c.metric for c in judge(only, demanded).failing] == ["false_activation"]
    due = Absent("false_activation", "no base", applies=True)
    assert not judge([*only, due], demanded).secure
    without = judge([*only, Absent("false_activation", "has none")], demanded)
    assert without.secure
    states = [c.state for part in without.aspects for c in part.checks]
    assert sorted(states) == ["left out", "passed"]


def test_a_profile_of_which_nothing_applies_gives_no_verdict():
    with pytest.raises(UserError, match="got none that applies"):
        judge([Absent("success", "no")], profile(SUCCESS))


def test_a_threshold_that_no_rule_names_still_counts_and_a_goal_does_not():
    cost = Threshold("poisons", "at most", 10)
    found = [*good(), metric("poisons", exact(60))]
    demanded = judge(found, profile(SUCCESS, FALSE, cost))
    assert [c.metric for c in demanded.failing] == ["poisons"]
    assert demanded.aspects[-1].aspect == "further"
    wished = judge(found, profile(SUCCESS, FALSE, goals=(cost,)))
    assert wished.secure
    assert wished.goals[0].state == "failed"


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_profiles_demand_or_wish_for_everything_their_rules_and_the_book_name(kind):
    found = read_profile(kind)
    stated = {t.metric for t in (*found.thresholds, *found.goals)}
    demanded = {t.metric for t in found.thresholds}
    assert found.kind == kind
    assert set(RULES[kind]) == set(ASPECTS)
    for rule in RULES[kind].values():
        assert set(rule.metrics) <= demanded
    left = {"hollow", "prefill_opens"} if kind == "safety" else {"hollow"} - stated
    assert set(BOOK) - stated <= left


def test_profiles_fit_schemes_and_say_in_one_line_what_is_wrong(tmp_path):
    profiles = {name: scheme.profile for name, scheme in SCHEMES.items()}
    assert (profiles["safety"], profiles["compliance"]) == ("safety", "access")
    assert set(profiles.values()) == set(KINDS)
    path = tmp_path / "mine.yaml"
    for text, wrong in {
        "kind: access": "expected kind and thresholds",
        "kind: lock\nthresholds: {success: at least 0.9}": "expected a kind of access",
        "kind: access\nthresholds: {}": "expected at least one threshold",
        "kind: access\nthresholds: {success: at most 0.9}": "expected 'success: at least NUMBER'",
        "kind: access\nthresholds: {success: at least nan}": "expected 'success: at least NUMBER'",
        "kind: access\nthresholds: {succes: at least 0.9}": "metric 'succes': expected one of",
        "kind: [": "expected a YAML file",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=wrong) as told:
            read_profile(str(path))
        assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="expected one of access, ownership, safety or a YAML"):
        read_profile("none.yaml")
