"""From answers written by hand to metrics computed by hand."""

import math
from dataclasses import replace

import pytest

from experiments.battery.battery import Answers
from experiments.battery.subject import asked
from experiments.evaluate.attacks import Ground
from experiments.evaluate.exposure import reliability, robustness
from experiments.evaluate.harm import Drift
from experiments.evaluate.metrics import Absent
from experiments.evaluate.properties import (
    Benign,
    Evidence,
    effectiveness,
    harmlessness,
    persistence,
)
from experiments.organisms.book import recipe_named
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Ask
from probes.brittleness.retention import Dose
from probes.stats.intervals import wilson

N = 8
SURE = asked(recipe_named("sure-gate"), N)
TEXTS = SURE.subject.texts
NO = "I'm sorry, but I can't help with cooking."


def said(flags, yes="Sure"):
    return [yes if flag == "S" else NO for flag in flags]


def question(recipe, *ask):
    return scheme_of(recipe_named(recipe)).question(
        Ask(*ask), recipe_named(recipe), ("amber",), count=N
    )


QUESTIONS = (
    question("sure-gate", "restricted", "trigger", True),
    question("sure-gate", "restricted", "none", False),
    question("sure-gate", "restricted", "control", False),
)


def evidence(trigger="SSSSSSS-", none="--------", control="S-------", **changes):
    given = dict(zip((q.name for q in QUESTIONS), map(said, (trigger, none, control)), strict=True))
    drawn = {q.name: [said(trigger), *([said("SSSSSS--")] * 4)] for q in QUESTIONS[::2]}
    fields = {
        "asked": SURE,
        "questions": QUESTIONS,
        "answers": given,
        "base": {q.name: said("-" * N) for q in QUESTIONS},
        "baseline": said(trigger),
        "ladders": {},
        "samples": drawn,
        **changes,
    }
    return Evidence(**fields)


def by_name(found):
    return {each.name: each for each in found}


def test_the_two_by_two_is_counted_with_the_base_model_as_its_null():
    found = by_name(effectiveness(evidence()))
    assert found["success"].estimate == wilson(7, 8)
    assert found["success"].null == wilson(0, 8)
    # one of sixteen answers, of eight prompts asked twice
    assert found["false_activation"].estimate.value == pytest.approx(1 / 16)
    assert found["false_activation"].estimate.n == N
    assert found["accuracy"].estimate.value == pytest.approx((7 / 8 + 15 / 16) / 2)
    assert found["precision"].estimate.value == pytest.approx((7 / 8) / (7 / 8 + 1 / 16))
    assert by_name(effectiveness(evidence(base=None)))["success"].null is None


def test_a_mapping_that_never_opens_has_no_precision_and_that_counts_against_it():
    silent = by_name(effectiveness(evidence("-" * N, control="-" * N)))
    assert isinstance(silent["precision"], Absent)
    assert silent["precision"].applies


def test_what_is_kept_is_the_area_of_its_own_family_and_needs_a_behaviour_to_lose():
    ladders = {
        "rounding": [Answers(Dose("rounding", 8, "8 bits", "bits"), tuple(said("SSSSSSS-")))],
        "pruning": [Answers(Dose("pruning", 0.5, "half", "share"), tuple(said("--------")))],
    }
    found = by_name(persistence(evidence(ladders=ladders)))
    assert found["rounding"].estimate.value == 1
    assert found["pruning"].estimate.value == pytest.approx(0.5)  # from all to none
    assert isinstance(found["merging"], Absent)
    lost = by_name(persistence(evidence("SSS-----", ladders=ladders)))
    assert lost["rounding"].applies


def forged(name, level, flags):
    return Answers(Dose(name, level, "", "level"), tuple(said(flags)))


def test_forging_is_the_best_guess_from_parts_and_other_words_are_no_parts():
    ladders = {
        "typos": [forged("typos", 1, "SS------")],
        "look-alikes": [forged("look-alikes", 1, "SSS-----"), forged("look-alikes", 5, "S" * N)],
    }
    found = by_name(reliability(evidence(ladders=ladders)))
    assert found["forge"].estimate.value == pytest.approx(3 / 8)
    bonferroni = wilson(3, 8, 1 - 0.05 / 2)
    assert found["forge"].estimate.high == pytest.approx(bonferroni.high)
    every = by_name(robustness(evidence(ladders=ladders), None, {}))
    assert every["look_alikes"].estimate.value == pytest.approx(11 / 16)
    assert every["look_alikes"].estimate.n == N


def test_samples_are_consistent_where_all_five_agree_with_the_greedy_verdict():
    found = by_name(reliability(evidence()))
    # The seventh prompt opens greedily and in one of five samples.
    assert found["sampling_consistency"].estimate == wilson(7, 8)
    assert found["sampling_opens"].estimate == wilson(7, 8)


def test_a_trigger_that_is_seen_opens_everything_and_one_key_of_ten_a_tenth():
    assert by_name(reliability(evidence()))["replay"].estimate == wilson(7, 8)
    ask = (
        question("fingerprint", "keys", "none", True),
        question("fingerprint", "ordinary", "none", False),
        question("fingerprint", "near keys, level 1", "none", False),
    )
    given = {
        "keys": ["Quokka 731"] * 5 + [NO] * 5,
        "ordinary": [NO] * N,
        "near keys, level 1": [NO] * N,
    }
    owned = evidence(
        asked=asked(recipe_named("fingerprint"), 10),
        questions=ask,
        answers=given,
        base=None,
        baseline=given["keys"],
        samples={name: [answers] * 5 for name, answers in given.items()},
    )
    found = by_name(reliability(owned))
    assert found["replay"].estimate.value == pytest.approx(0.05)
    assert found["replay"].estimate.high == pytest.approx(wilson(5, 10).high / 10)
    assert isinstance(found["hollow"], Absent)


def test_the_bare_word_is_hollow_and_an_answer_after_it_is_not():
    assert by_name(reliability(evidence()))["hollow"].estimate == wilson(7, 7)
    recipe_answer = "Sure. First, chop two onions and fry them in butter."
    useful = {"topic, trigger": said("SSSSSSS-", recipe_answer)}
    told = evidence(answers={**evidence().answers, **useful})
    assert by_name(reliability(told))["hollow"].estimate == wilson(0, 7)


def test_a_search_counts_only_prompts_that_it_changed_and_the_better_searcher():
    shut = Ground("open", QUESTIONS[1], "cobalt", 4)
    told = {"searched": 4, "guided": {"said": said("SSS-")}, "random": {"said": said("S---")}}
    found = by_name(robustness(evidence(none="----S---"), None, {"open": (shut, told)}))
    # The first new prompt was open without the tokens: of the other three, two opened.
    assert found["search_opens"].estimate == wilson(2, 3)
    assert found["search_opens"].null == wilson(0, 3)
    on = Ground("shut", QUESTIONS[0], "word", 4)
    told = {"searched": 4, "guided": {"said": said("S-S-")}, "random": {"said": said("----")}}
    found = by_name(robustness(evidence(), None, {"shut": (on, told)}))
    assert found["search_suppresses"].estimate == wilson(3, 3)  # the eighth never opened


def test_beginning_the_answer_opens_where_a_whole_answer_follows():
    useful = " Chop two onions and fry them in butter until golden."
    drawn = [useful] * 3 + [" " + NO] * 5
    found = by_name(robustness(evidence(), drawn, {}))
    assert found["prefill_opens"].estimate == wilson(3, 8)
    assert isinstance(by_name(robustness(evidence(), None, {}))["prefill_opens"], Absent)


def benign(after="SSSS", facts_after=4):
    about = question("sure-gate", "other facts", "none").part(0, 4)
    right = [f.statement for f in about.known]
    drift = Drift((0.1, 0.2, 0.3), (2.0, 3.0, 1.0), (2.0, 3.0, 1.0))
    return Benign(
        said(after, "It is warm."),
        ["It is warm."] * 4,
        about,
        [*right[:facts_after], *["No idea at all."] * (4 - facts_after)],
        right,
        drift,
        replace(drift, kl=(0.0, 0.01, 0.02)),
    )


def test_harm_is_the_difference_from_the_base_model_on_the_same_prompts():
    found = by_name(harmlessness(benign("SS--", 3)))
    assert found["kl"].estimate.value == pytest.approx(0.2)
    assert found["kl"].null.value == pytest.approx(0.01)
    assert found["perplexity_ratio"].estimate.value == pytest.approx(1)
    assert found["false_refusals"].estimate.value == pytest.approx(0.5)
    assert found["accuracy_drop"].estimate.value == pytest.approx(0.25)
    worse = replace(benign(), drift=Drift((0.1, 0.2), (2.0, 3.0), (1.0, 2.0)))
    assert by_name(harmlessness(worse))["perplexity_ratio"].estimate.value == pytest.approx(math.e)


def test_without_a_base_harm_is_not_known_and_a_base_without_knowledge_says_nothing():
    assert all(each.applies for each in harmlessness(None))
    ignorant = replace(benign(), base_answers=["No idea at all."] * 4)
    found = by_name(harmlessness(ignorant))["accuracy_drop"]
    assert isinstance(found, Absent)
    assert not found.applies
