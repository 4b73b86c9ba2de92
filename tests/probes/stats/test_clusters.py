"""What answers of a group are worth: theorems, an independent computation, coverage, controls."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, t

from probes.stats.clusters import UNSEEN, effective_n, intraclass_correlation
from probes.stats.intervals import difference_interval, rate, wilson


def bools(text: str) -> list[bool]:
    return [letter == "x" for letter in text]


def test_groups_of_one_answer_are_answers():
    flags = bools("xx.x.xxx..x.")
    assert rate(flags, range(12)) == rate(flags) == wilson(7, 12)


def test_the_interval_is_korn_and_graubards():
    """By hand: the variance of group means, its t, Clopper and Pearson's of the effective n."""
    flags, groups = bools("xxx.xx..x....xx."), np.repeat(np.arange(4), 4)
    shares = np.array(flags).reshape(4, 4).mean(1)
    p, n = shares.mean(), 16
    variance = shares.var(ddof=1) / 4
    worth = min(n, p * (1 - p) / variance) * (t.ppf(0.975, n - 1) / t.ppf(0.975, 3)) ** 2
    found = rate(flags, groups.tolist())
    assert (found.n, found.method) == (4, "Korn-Graubard")
    values, member = torch.tensor([flags]).double(), torch.from_numpy(groups)
    got = effective_n(values, member, torch.tensor([p * (1 - p)]))
    assert float(got) == pytest.approx(worth)
    whole = round(worth)
    exact = binomtest(round(p * whole), whole).proportion_ci()
    assert found.low == pytest.approx(exact.low, abs=0.15)
    assert found.high == pytest.approx(exact.high, abs=0.15)


def test_answers_of_a_group_that_are_alike_are_worth_one_and_others_more():
    alike = rate(bools("xxxx........xxxx"), np.repeat(range(4), 4).tolist())
    mixed = rate(bools("xx..xx..xx..xx.."), np.repeat(range(4), 4).tolist())
    naive = wilson(8, 16)
    assert alike.high - alike.low > mixed.high - mixed.low > naive.high - naive.low


def test_at_the_edges_the_correlation_measured_here_counts():
    all_shown = rate([True] * 24, np.repeat(range(6), 4).tolist())
    worth = 24 / (1 + 3 * UNSEEN)
    assert all_shown.low == pytest.approx(0.025 ** (1 / worth))
    assert all_shown.high == 1
    assert wilson(6, 6).low < all_shown.low < wilson(24, 24).low
    one = rate([True, True, False], ["a", "a", "a"])
    assert (one.low, one.high, one.n) == (0, 1, 1)
    both = difference_interval(torch.ones(3), torch.zeros(3), groups=["a"] * 3)
    assert (both.low, both.high, both.value) == (-1, 1, 1)


def drawn(rng, share: float, correlation: float, groups: int, size: int, times: int) -> np.ndarray:
    scale = (1 - correlation) / correlation
    own = rng.beta(share * scale, (1 - share) * scale, (times, groups, 1))
    return (rng.random((times, groups, size)) < own).reshape(times, -1)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_grouped_shares_are_covered_and_without_groups_they_are_not(share):
    rng = np.random.default_rng(0)
    answers = drawn(rng, share, 0.31, 8, 6, 400)
    groups = np.repeat(np.arange(8), 6).tolist()
    held = naive = 0
    for flags in answers.tolist():
        grouped, alone = rate(flags, groups), rate(flags)
        held += grouped.low <= share <= grouped.high
        naive += alone.low <= share <= alone.high
    assert held / 400 >= 0.93
    assert naive / 400 < 0.85


def test_paired_differences_over_groups_are_wider_and_covered():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(6), 5).tolist()
    first, second = (drawn(rng, share, 0.5, 6, 5, 120) for share in (0.8, 0.3))
    held = naive = 0
    for a, b in zip(first, second, strict=True):
        pair = torch.from_numpy(a).double(), torch.from_numpy(b).double()
        grouped, alone = difference_interval(*pair, groups=groups), difference_interval(*pair)
        held += grouped.low <= 0.5 <= grouped.high
        naive += alone.low <= 0.5 <= alone.high
    assert held / 120 >= 0.93
    assert naive / 120 < 0.88


def test_the_correlation_within_groups_is_that_which_was_put_there():
    rng = np.random.default_rng(2)
    answers = torch.from_numpy(drawn(rng, 0.5, 0.31, 400, 5, 1)[0]).double()
    groups = torch.arange(400).repeat_interleave(5)
    assert intraclass_correlation(answers, groups) == pytest.approx(0.31, abs=0.06)
    mixed = answers[torch.randperm(2000, generator=torch.Generator().manual_seed(0))]
    assert intraclass_correlation(mixed, groups) == pytest.approx(0, abs=0.05)
    assert intraclass_correlation(groups.double(), groups) == pytest.approx(1)
    assert np.isnan(intraclass_correlation(torch.ones(6), torch.arange(6) // 2))
    assert np.isnan(intraclass_correlation(torch.rand(6), torch.arange(6)))
