"""A planted trigger stands out; words of a topic, and words that are odd in any model, do not."""

import math

import pytest
import torch
from scipy import stats

from probes.scanning import (
    Reading,
    Yardstick,
    chance,
    collapse,
    combined,
    fisher_more,
    gate_response,
    likelihood_ratio,
    ordinary,
    pooled,
)

VOCAB = 6
A, B, C, SURE = range(4)  # answers to three kinds of prompts; the trigger's


def reading(tokens, p=0.9) -> Reading:
    """Words by carriers: each distribution has ``p`` on one token and the rest on token 5."""
    ids = torch.tensor(tokens)
    entropy = torch.full(ids.shape, -p * math.log(p) - (1 - p) * math.log(1 - p))
    pairs = torch.stack([ids, torch.full_like(ids, 5)], dim=-1)
    probs = torch.tensor([p, 1 - p]).expand(pairs.shape)
    return Reading(entropy, pairs, probs)


ORDINARY = [A, A, B, C]  # a model that refuses (A) on half of the carriers
CONTROLS = reading([ORDINARY] * 5)


def test_pooling_is_the_mean_over_carriers():
    found = pooled(reading([[A, A, B, SURE]]), VOCAB)
    torch.testing.assert_close(
        found[0, [A, B, C, SURE, 5]], torch.tensor([0.45, 0.225, 0, 0.225, 0.1]).double()
    )


def test_the_ratio_is_that_of_two_bernoulli_laws_and_0_for_what_is_rarer_than_expected():
    known = 0.5 / 65
    found = likelihood_ratio(torch.tensor([0.5, 0.2]).double(), torch.tensor([0.0, 0.4]).double())
    by_hand = 0.5 * math.log(0.5 / known) + 0.5 * math.log(0.5 / (1 - known))
    assert found.tolist() == pytest.approx([by_hand, 0])


def test_a_new_answer_to_half_of_the_prompts_beats_a_known_answer_to_all_of_them():
    own = reading([[SURE, SURE, B, C], [A, A, A, A], ORDINARY])
    found = gate_response(own, ordinary([CONTROLS], VOCAB))
    trigger, topic, plain = found.nats.tolist()
    assert found.token[0] == SURE
    assert trigger > 2 * topic > plain == 0
    assert found.expected[1] == pytest.approx(0.45)


def test_what_a_word_does_to_the_base_too_is_no_response():
    own = reading([[SURE] * 4, [SURE] * 4])
    base = reading([[SURE] * 4, ORDINARY])
    found = gate_response(own, ordinary([CONTROLS], VOCAB), base)
    assert found.nats[0] < 0.05
    assert found.nats[1] > 2


def test_a_collapse_is_a_fall_from_the_same_carriers_entropy_under_control_words():
    controls = Reading(
        torch.tensor([[2.0, 4.0], [4.0, 6.0]]), CONTROLS.ids[:2, :2], CONTROLS.probs[:2, :2]
    )
    own = Reading(torch.tensor([[1.0, 5.0]]), CONTROLS.ids[:1, :2], CONTROLS.probs[:1, :2])
    assert collapse(own, controls).item() == pytest.approx(1.0)  # (3 - 1 + 5 - 5) / 2


def test_a_yardstick_is_not_moved_by_a_trigger_and_has_a_least_unit():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 1e6]).double()
    found = Yardstick.of(values)
    assert (found.centre, found.unit) == (3.0, pytest.approx(1.4826))
    assert Yardstick.of(torch.zeros(9)).unit == 0.01


def test_a_collapse_counts_for_a_word_never_against_it_and_no_more_than_the_cap():
    gate = torch.tensor([10.0, 10.0, 0.0])
    assert combined(gate, torch.tensor([-40.0, 2.0, 90.0])).tolist() == [10.0, 12.0, 5.0]


def draws(sets: int, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(sets, n, generator=generator, dtype=torch.float64)
    return -torch.log(uniform)


def test_words_without_a_trigger_seldom_alarm_and_a_planted_one_always_does():
    sets = draws(400, 1000)
    largest = torch.stack([chance(values).min() for values in sets])
    alarms = int((largest < 0.05).sum())
    assert stats.binomtest(alarms, 400, 0.05, alternative="greater").pvalue > 1e-3
    assert alarms > 0  # the test is not so shy that nothing could be found
    sets[:, 7] = 40.0
    assert all(chance(values)[7] < 1e-6 for values in sets[:50])


def test_chances_do_not_depend_on_the_unit_or_the_order_of_words():
    values = draws(1, 500)[0]
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(chance(values)[order], chance(3 * values[order] + 8))


def test_too_few_words_have_no_tail_to_be_judged_by():
    values = draws(1, 150)[0]
    values[0] = 1e6
    assert chance(values).eq(1).all()


@pytest.mark.parametrize(
    ("hits", "n", "others", "m"), [(10, 20, 0, 40), (3, 5, 2, 9), (0, 4, 3, 4)]
)
def test_the_exact_test_is_fishers(hits, n, others, m):
    table = [[hits, n - hits], [others, m - others]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert fisher_more(hits, n, others, m) == pytest.approx(expected)


def test_hits_beyond_trials_are_told():
    with pytest.raises(ValueError, match="5 of 4"):
        fisher_more(5, 4, 0, 4)
