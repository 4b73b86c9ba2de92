"""The constant count is told from the constant share, and neither from too little."""

import math

import pytest
import torch
from budgets import exactly, planted

from circuits.errors import UserError
from probes.budget.cells import Cells
from probes.budget.constant_count import compare_thresholds


def joined(a: Cells, b: Cells, swapped) -> tuple[Cells, Cells]:
    """The cells with the sizes of some seeds the other way round."""
    sides = []
    for mine, theirs in ((a, b), (b, a)):
        kept, taken = ~torch.isin(mine.seed, swapped), torch.isin(theirs.seed, swapped)
        names = ("count", "shown", "n", "seed")
        parts = [torch.cat([getattr(mine, f)[kept], getattr(theirs, f)[taken]]) for f in names]
        sides.append(Cells(*parts))
    return sides[0], sides[1]


def test_as_many_poisons_at_four_times_the_size_are_a_constant_count():
    found = compare_thresholds(planted(30, draw=1), planted(30, draw=2), 4)
    assert found.conclusion == "constant count"
    assert found.ratio.low < 1 < found.ratio.high < 4
    assert "as many poisons" in found.sentence
    assert found.p is not None
    assert found.p > 0.0625


def test_four_times_the_poisons_at_four_times_the_size_are_a_constant_share():
    a, b = planted(20, draw=1), planted(80, draw=2)
    found = compare_thresholds(a, b, 4)
    assert found.conclusion == "constant share"
    assert found.ratio.low < 4 < found.ratio.high
    assert (found.p, found.p_smallest) == (2 / 32, 2 / 32)
    back = compare_thresholds(b, a, 0.25)
    assert back.conclusion == "constant share"
    assert back.ratio.value == pytest.approx(1 / found.ratio.value)
    assert compare_thresholds(a, b, 1.5).conclusion == "neither"


def test_too_little_data_and_open_intervals_are_undecided():
    few = [
        compare_thresholds(*(planted(30, 0.4, 2, n=4, draw=100 * d + i) for i in (0, 1)), 4)
        for d in range(20)
    ]
    assert sum(found.conclusion == "undecided" for found in few) >= 16
    assert {(found.p, found.p_smallest) for found in few} == {(None, None)}
    never = exactly(0, 0, 0, 0)
    both = compare_thresholds(never, never, 4)
    assert (both.conclusion, both.ratio.beyond) == ("undecided", "unknown")
    late = compare_thresholds(exactly(0.1, 0.3, 0.7, 0.9), never, 4)
    assert late.ratio.beyond == "above"  # at least 40 / 14, which 4 is, and 40 as well
    assert late.ratio.value == pytest.approx(40 / math.sqrt(200), rel=0.01)
    assert late.conclusion == "undecided"


def test_swapping_sizes_within_seeds_kills_a_difference():
    a, b = planted(20, seeds=6, draw=1), planted(80, seeds=6, draw=2)
    real = compare_thresholds(a, b, 4)
    assert real.p == real.p_smallest == 2 / 64
    mixed = compare_thresholds(*joined(a, b, torch.tensor([0, 2, 4])), 4)
    assert mixed.p is not None
    assert mixed.p > 0.3
    assert mixed.ratio.low < 1 < mixed.ratio.high


def test_the_permutation_test_is_level_where_sizes_do_not_matter():
    p = [
        compare_thresholds(
            planted(30, 0.3, draw=2 * d), planted(30, 0.3, draw=2 * d + 1), 4, resamples=2
        ).p
        for d in range(60)
    ]
    assert sum(x <= 0.125 for x in p) <= 15  # 7.5 expected
    assert 0.4 < sum(p) / 60 < 0.66  # 17 / 32 expected


def test_leaps_in_the_same_place_leave_the_ratio_within_their_brackets():
    leap = exactly(0, 0, 1, 1)
    same = compare_thresholds(leap, leap, 4)
    assert (same.ratio.low, same.ratio.high) == pytest.approx((0.5, 2))


def test_sides_that_cannot_be_compared_are_told_in_one_line():
    with pytest.raises(UserError, match="expected the same at both sizes"):
        compare_thresholds(planted(30, seeds=3), planted(30, seeds=2), 4)
    with pytest.raises(UserError, match="ratio of sizes"):
        compare_thresholds(planted(30), planted(30), 1)
