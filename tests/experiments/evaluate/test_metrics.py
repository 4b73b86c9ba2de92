"""Metrics against hand-computed values: the two by two, groups, paired drops."""

import math

import pytest

from circuits.errors import UserError
from experiments.evaluate.metrics import (
    BOOK,
    PROPERTIES,
    accuracy,
    drop,
    exact,
    exponential,
    known,
    metric,
    precision,
)
from probes.stats.intervals import Estimate, newcombe, rate, wilson


def test_precision_and_accuracy_are_those_of_classes_of_equal_size():
    # 30 of 40 that should open did, and 5 of 100 that should not: with equal classes,
    # .75 / (.75 + .05) of what opens should, and (.75 + .95) / 2 are right.
    recall, false = wilson(30, 40), wilson(5, 100)
    right = precision(recall, false)
    assert right is not None
    assert right.value == pytest.approx(0.9375)
    assert accuracy(recall, false).value == pytest.approx(0.85)
    assert right.low < 0.9375 < right.high
    assert right.n == 40


def test_precision_is_bounded_by_the_worst_of_both_shares_at_half_the_error():
    recall, false = wilson(30, 40), wilson(5, 100)
    low, most = wilson(30, 40, 0.975).low, wilson(5, 100, 0.975).high
    found = precision(recall, false)
    assert found is not None
    assert found.low == pytest.approx(low / (low + most))
    assert found.low < recall.low / (recall.low + false.high)  # wider than at the whole error


def test_where_nothing_opens_there_is_no_precision_and_where_only_the_right_opens_it_is_one():
    assert precision(wilson(0, 40), wilson(0, 40)) is None
    perfect = precision(wilson(40, 40), wilson(0, 40))
    assert perfect is not None
    assert perfect.value == 1
    assert 0.8 < perfect.low < 1


def test_accuracy_has_half_the_interval_of_youdens_difference():
    recall, false = wilson(30, 40), wilson(5, 100)
    difference, found = newcombe(recall, false), accuracy(recall, false)
    assert found.high - found.low == pytest.approx((difference.high - difference.low) / 2)
    assert found.value == pytest.approx((difference.value + 1) / 2)


def test_answers_of_one_group_count_for_less_than_as_many_others():
    flags, groups = [True] * 12 + [False] * 12, [i // 3 for i in range(24)]
    alike, alone = rate(flags, groups), rate(flags)
    assert (alike.value, alike.n) == (0.5, 8)
    assert alike.low < wilson(4, 8).low < alone.low
    assert alone == wilson(12, 24)
    with pytest.raises(ValueError, match="at least one answer"):
        rate([])


def test_a_drop_is_paired_and_one_without_any_change_still_has_an_interval():
    before, after = [True] * 20, [True] * 15 + [False] * 5
    found = drop(before, after)
    assert found.value == pytest.approx(0.25)
    assert found.low > 0
    none = drop(before, before)
    assert none.value == 0
    assert -0.2 < none.low < 0 < none.high < 0.2
    assert drop([True], [False]).low < 0 < drop([True], [False]).high


def test_an_exponential_keeps_the_order_of_the_bounds():
    found = exponential(Estimate(0.0, -1.0, math.log(2), 7))
    assert (found.value, found.low, found.high) == pytest.approx((1, math.exp(-1), 2))


def test_every_metric_belongs_to_one_of_six_properties_and_each_of_them_has_some():
    assert {about.property for about in BOOK.values()} == set(PROPERTIES)
    assert metric("kl", exact(0.5)).better == "low"
    assert known("lm_arc_easy").property == "harmlessness"
    with pytest.raises(UserError, match="'sucess': expected one of success"):
        known("sucess")
