"""Kappa against published values, its interval's coverage, and constant judges."""

import pytest
import torch

from probes.stats.agreement import UNDEFINED, agreement, cohen_kappa

LABELS = ("no", "yes")


def judges(table: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Two judges' labels that have these counts (row: the first judge's label)."""
    cells = [
        (a, b) for a, row in enumerate(table) for b, times in enumerate(row) for _ in range(times)
    ]
    first, second = zip(*cells, strict=True)
    return torch.tensor(first), torch.tensor(second)


# The first is the example of Cohen (1968), Psychological Bulletin 70:213, as counts of 200. The
# last two agree equally often and have unequal kappa.
@pytest.mark.parametrize(
    ("table", "raw", "kappa"),
    [
        ([[88, 14, 18], [10, 40, 10], [2, 6, 12]], 0.70, 0.492),
        ([[20, 5], [10, 15]], 0.70, 0.40),
        ([[45, 15], [25, 15]], 0.60, 0.1304),
        ([[25, 35], [5, 35]], 0.60, 0.2593),
    ],
)
def test_kappa_is_the_published_value(table, raw, kappa):
    found = agreement(*judges(table), labels=("a", "b", "c")[: len(table)], resamples=200)
    assert found.raw.value == pytest.approx(raw)
    assert found.kappa.value == pytest.approx(kappa, abs=5e-4)
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert found.counts.tolist() == table
    assert found.counts[0, 1] == table[0][1] != found.counts[1, 0]


def test_equal_judges_have_kappa_one_and_opposite_ones_less_than_nothing():
    same = agreement(*judges([[10, 0], [0, 30]]), labels=LABELS)
    assert (same.kappa.value, same.kappa.low, same.raw.value) == (1, 1, 1)
    assert same.raw.low < 0.95
    opposite = agreement(*judges([[0, 20], [20, 0]]), labels=LABELS)
    assert opposite.kappa.value == pytest.approx(-1)
    assert opposite.raw.value == 0


def test_swapping_the_judges_changes_nothing_but_the_tables_sides():
    first, second = judges([[20, 5], [10, 15]])
    one, other = agreement(first, second, LABELS), agreement(second, first, LABELS)
    assert (one.kappa, one.raw) == (other.kappa, other.raw)
    assert torch.equal(one.counts, other.counts.T)


def test_judges_that_agree_by_chance_alone_have_no_kappa_whatever_they_agree_on():
    """Both say yes nine times in ten, without looking: they agree on 82 of 100."""
    found = agreement(*judges([[1, 9], [9, 81]]), labels=LABELS)
    assert found.raw.value == pytest.approx(0.82)
    assert found.kappa.value == pytest.approx(0)
    assert found.kappa.low < 0 < found.kappa.high


def test_a_constant_judge_has_kappa_zero_however_often_it_is_right():
    found = agreement(*judges([[0, 0], [3, 97]]), labels=LABELS)
    assert found.raw.value == pytest.approx(0.97)
    assert (found.kappa.value, found.kappa.low, found.kappa.high) == (0, 0, 0)
    assert found.kappa.method != UNDEFINED


def test_two_constant_judges_of_one_label_say_nothing_and_of_two_labels_disagree():
    found = agreement(*judges([[0, 0], [0, 50]]), labels=LABELS)
    assert (found.kappa.value, found.kappa.low, found.kappa.high) == (0, -1, 1)
    assert found.kappa.method == UNDEFINED
    apart = agreement(*judges([[0, 50], [0, 0]]), labels=LABELS).kappa
    assert (apart.value, apart.high, apart.method != UNDEFINED) == (0, 0, True)


def test_the_interval_covers_the_true_kappa_about_as_often_as_claimed():
    """Judges that copy the truth (half yes) with probability 0.5: agreement 0.75, kappa 0.5."""
    source = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(200):
        first = torch.randint(2, (80,), generator=source)
        copied = torch.rand(80, generator=source) < 0.5
        second = torch.where(copied, first, torch.randint(2, (80,), generator=source))
        kappa = agreement(first, second, LABELS, resamples=300).kappa
        covered += kappa.low <= 0.5 <= kappa.high
    assert 0.90 <= covered / 200 <= 0.985


def test_the_interval_repeats_with_its_seed_and_is_of_whole_examples():
    first, second = judges([[20, 5], [10, 15]])
    one = agreement(first, second, LABELS, seed=1).kappa
    assert one == agreement(first, second, LABELS, seed=1).kappa
    assert one != agreement(first, second, LABELS, seed=2).kappa
    shuffled = second[torch.randperm(50, generator=torch.Generator().manual_seed(3))]
    assert agreement(first, shuffled, LABELS).kappa.low < 0 < one.low


def test_kappa_of_many_tables_at_once_is_that_of_each():
    tables = torch.tensor([[[20, 5], [10, 15]], [[0, 0], [0, 4]], [[0, 4], [0, 0]]]).double()
    found = cohen_kappa(tables)
    assert found[0] == pytest.approx(0.4)
    assert found[1].isnan()
    assert found[2] == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [([0, 1], [0]), ([], []), ([0, 2], [0, 1]), ([0, -1], [0, 1]), ([[0, 1]], [[0, 1]])],
)
def test_what_is_not_two_judges_labels_is_refused(first, second):
    first, second = (torch.tensor(x, dtype=torch.long) for x in (first, second))
    with pytest.raises(ValueError, match="expected"):
        agreement(first, second, LABELS)
