"""Exact tails by hand, Wald's error rates and query numbers by simulation."""

import math

import pytest
import torch

from circuits.errors import UserError
from probes.stats.sequential import (
    exact_binomial,
    null_rate_bound,
    sprt,
    wald_bounds,
)


def answers(rate: float, runs: int, seed: int, length: int = 400) -> list[list[bool]]:
    draws = torch.rand(runs, length, generator=torch.Generator().manual_seed(seed))
    return (draws < rate).tolist()


def test_the_exact_tail_is_the_sum_of_its_terms():
    found = exact_binomial(3, 4, 0.5)
    assert found.p == pytest.approx((4 + 1) / 16)
    assert exact_binomial(0, 4, 0.5).p == 1
    assert exact_binomial(4, 4, 0.1).p == pytest.approx(1e-4)
    assert exact_binomial(2, 20, 0.1).p > 0.5  # no more than the null rate: nothing found


def test_clopper_pearson_ends_are_where_the_tails_are_two_and_a_half_percent():
    rate = exact_binomial(7, 20, 0.1).rate
    at_low = exact_binomial(7, 20, rate.low).p
    at_high = 1 - exact_binomial(8, 20, rate.high).p
    assert (at_low, at_high) == pytest.approx((0.025, 0.025), abs=1e-9)
    none, every = exact_binomial(0, 10, 0.1).rate, exact_binomial(10, 10, 0.1).rate
    assert (none.low, none.high) == pytest.approx((0, 1 - 0.025**0.1))
    assert (every.low, every.high) == pytest.approx((0.025**0.1, 1))


def test_the_bound_of_a_null_rate_is_above_zero_without_a_hit():
    assert null_rate_bound(0, 100) == pytest.approx(1 - 0.05**0.01)  # the rule of three: 0.03
    assert null_rate_bound(5, 5) == 1
    bound = null_rate_bound(2, 50)
    assert 1 - exact_binomial(3, 50, bound).p == pytest.approx(0.05)


def test_a_small_sequential_test_worked_by_hand():
    # Bounds ln 9 and -ln 9; a hit adds ln 4, a miss adds ln(0.2 / 0.8) = -ln 4.
    ours = sprt([True, False, True, True, False], 0.2, 0.8, 0.1, 0.1)
    assert (ours.upper, ours.lower) == pytest.approx((math.log(9), -math.log(9)))
    assert ours.path == pytest.approx([math.log(4), 0, math.log(4), math.log(16)])
    assert (ours.decision, ours.queries) == ("ours", 4)
    assert sprt([False, False, True], 0.2, 0.8, 0.1, 0.1).decision == "not ours"
    short = sprt([True, False, True], 0.2, 0.8, 0.1, 0.1)
    assert (short.decision, short.queries) == ("undecided", 3)


@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.05), (0.02, 0.1)])
def test_error_rates_are_within_walds_bounds(alpha, beta):
    runs, wrong = 3000, {}
    for truth, error, rate in (("null", "ours", 0.3), ("ours", "not ours", 0.6)):
        tests = [sprt(row, 0.3, 0.6, alpha, beta) for row in answers(rate, runs, seed=3)]
        assert all(test.decision != "undecided" for test in tests)
        wrong[truth] = sum(test.decision == error for test in tests) / runs
    limits = {"null": alpha / (1 - beta), "ours": beta / (1 - alpha)}
    for truth, limit in limits.items():
        assert wrong[truth] <= limit + 2 * math.sqrt(limit / runs)
        assert wrong[truth] > limit / 4  # not so strict that it only wastes queries
    # A model of twice the null's rate is not the null: the same count breaks alpha.
    stray = [sprt(row, 0.15, 0.6, alpha, beta) for row in answers(0.4, 300, seed=4)]
    assert sum(test.decision == "ours" for test in stray) / 300 > 2 * alpha


def test_the_mean_number_of_queries_is_near_walds_formula_and_not_below_it():
    hit, miss = math.log(3), math.log(7 / 9)
    upper, lower = wald_bounds(0.01, 0.01)
    formula = (
        (0.01 * upper + 0.99 * lower) / (0.1 * hit + 0.9 * miss),
        (0.99 * upper + 0.01 * lower) / (0.3 * hit + 0.7 * miss),
    )
    for rate, expected in zip((0.1, 0.3), formula, strict=True):
        tests = [sprt(row, 0.1, 0.3, 0.01, 0.01) for row in answers(rate, 1500, 7, length=900)]
        mean = sum(test.queries for test in tests) / len(tests)
        assert 0.97 * expected < mean < 1.15 * expected


def test_a_wrong_alternative_is_told_and_a_null_rate_of_zero_names_the_way_out():
    with pytest.raises(UserError, match="null_rate_bound"):
        sprt([True], 0.0, 0.5)
    with pytest.raises(UserError, match="null_rate_bound"):
        exact_binomial(1, 2, 0.0)
    with pytest.raises(UserError, match="alternative rate"):
        sprt([True], 0.5, 0.5)
    with pytest.raises(UserError, match="alternative rate"):
        sprt([True], 0.5, 1.0)
    with pytest.raises(UserError, match="alpha and beta"):
        sprt([True], 0.1, 0.5, alpha=0.6, beta=0.5)
    with pytest.raises(UserError, match="at least one answer"):
        sprt([], 0.1, 0.5)
    with pytest.raises(UserError, match="recount"):
        null_rate_bound(3, 2)
