"""Areas by hand, intervals by coverage, and groups that count as one."""

import pytest
import torch

from circuits.errors import UserError
from probes.brittleness.retention import Dose, retention
from probes.stats.intervals import wilson

TYPOS = [Dose("typos", level, f"{level} edits", "edits") for level in (1, 2, 4)]
PLACES = [Dose("place", level, "moved") for level in (1, 2)]


def bools(*rows: str) -> torch.Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


def everywhere(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.bool)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_areas_are_those_computed_by_hand():
    shown = bools("xxxxx", "xx..x", "x...x", "xxxx.", "....x")
    found = retention([*TYPOS, *PLACES], shown, bools("xxxx.")[0])
    assert (found.baseline.value, found.baseline.n) == (0.8, 5)
    assert [kept.rate for kept in found.kept] == [wilson(k, 4) for k in (4, 2, 1, 4, 0)]
    # (1 + 1) / 2 * 1 + (1 + 1/2) / 2 * 1 + (1/2 + 1/4) / 2 * 2, over 4
    assert found.families["typos"].value == pytest.approx(2.5 / 4)
    assert found.families["place"].value == pytest.approx(0.5)
    assert found.area.value == pytest.approx((2.5 / 4 + 0.5) / 2)
    assert found.prompts == (0.75, 0.625, 0.4375, 0.4375, None)


def test_the_mean_over_prompts_of_their_own_areas_is_the_area():
    found = retention([*TYPOS, *PLACES], uniform(5, 30) < 0.6, everywhere(30))
    own = [value for value in found.prompts if value is not None]
    assert sum(own) / len(own) == pytest.approx(found.area.value)
    assert 0 < found.area.low < found.area.value < found.area.high < 1


def test_doses_of_one_level_are_averaged_and_order_given_does_not_matter():
    rows = bools("x.x.", "xx..", "..x.")
    at = [Dose("noise", level, "seed", "standard deviations") for level in (0.5, 0.5, 0.2)]
    found = retention(at, rows, everywhere(4))
    # 0.2: 1/4; 0.5: mean of 1/2 and 1/2
    assert found.area.value == pytest.approx(((1 + 0.25) / 2 * 0.2 + 0.375 * 0.3) / 0.5)
    back = retention(at[::-1], rows.flip(0), everywhere(4))
    assert back.area.value == pytest.approx(found.area.value)
    assert [kept.dose.level for kept in back.kept] == [0.2, 0.5, 0.5]


def test_a_family_counts_once_however_many_doses_it_has():
    shown = torch.cat([torch.ones(1, 8), torch.zeros(6, 8)]).bool()
    doses = [Dose("a", 1, "kept"), *(Dose("b", i, "lost") for i in range(1, 7))]
    assert retention(doses, shown, everywhere(8)).area.value == pytest.approx(0.5)


def test_nothing_lost_and_everything_lost_still_have_an_interval():
    shown = torch.stack([torch.ones(20), torch.zeros(20)]).bool()
    found = retention([*PLACES[:1], Dose("case", 1, "upper")], shown, everywhere(20))
    assert found.families["place"] == wilson(20, 20)
    assert found.families["case"] == wilson(0, 20)


def test_repetitions_of_a_key_widen_no_certainty():
    once = uniform(5, 10) < 0.6
    alone = retention([*TYPOS, *PLACES], once, everywhere(10))
    keys = torch.arange(10).repeat(6)
    repeated = retention([*TYPOS, *PLACES], once.repeat(1, 6), everywhere(60), keys)
    naive = retention([*TYPOS, *PLACES], once.repeat(1, 6), everywhere(60))
    for a, b in zip(
        (alone.area, alone.baseline, *(k.rate for k in alone.kept)),
        (repeated.area, repeated.baseline, *(k.rate for k in repeated.kept)),
        strict=True,
    ):
        assert (a.low, a.value, a.high, a.n) == pytest.approx((b.low, b.value, b.high, b.n))
    width = repeated.area.high - repeated.area.low
    assert naive.area.high - naive.area.low < 0.6 * width


def test_intervals_of_areas_hold_the_truth_about_as_often_as_claimed():
    held = wrong = 0
    for draw in range(200):
        strength = uniform(40, seed=draw)  # a prompt survives what is weaker than its strength
        shown = torch.stack([strength > 0.2, strength > 0.4, strength > 0.8])
        area = retention(TYPOS, shown, everywhere(40)).area
        truth = (0.9 + (0.8 + 0.6) / 2 + (0.6 + 0.2) / 2 * 2) / 4
        held += area.low <= truth <= area.high
        wrong += area.low <= truth + 0.2 <= area.high
    assert held >= 180
    assert wrong < 60


@pytest.mark.parametrize(
    ("doses", "baseline", "groups", "message"),
    [
        (TYPOS, bools("xxx...")[0], None, "got 3 of 6, in 3 groups; add prompts"),
        (TYPOS, bools("xxxx..")[0], torch.tensor([0, 0, 0, 0, 1, 1]), "2 or more groups"),
        (TYPOS[:2], bools("xxxx..")[0], None, "expected shown [2 doses, n]"),
        (TYPOS, bools("xxxx.")[0], None, "expected shown [3 doses, n]"),
        (TYPOS, bools("xxxx..")[0], torch.tensor([0, 1]), "one group for each of 6"),
        ([*TYPOS[:2], Dose("typos", 0, "")], bools("xxxx..")[0], None, "a level above 0, got 0"),
        ([*TYPOS[:2], Dose("typos", 3, "")], bools("xxxx..")[0], None, "one unit, got 'edits'"),
    ],
)
def test_bad_input_is_refused_in_one_line(doses, baseline, groups, message):
    with pytest.raises(UserError) as caught:
        retention(doses, bools("xxxxxx", "xxx...", "xx...."), baseline, groups)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prompts_that_answer_alike_do_not_make_an_interval_without_width():
    doses = [Dose("case", level, "x") for level in (1, 2)]
    shown = torch.tensor([[True] * 10, [False] * 10])
    found = retention(doses, shown, torch.ones(10, dtype=torch.bool))
    assert found.families["case"] == wilson(5, 10)
    mixed = shown.clone()
    mixed[0, :3] = False
    assert retention(doses, mixed, torch.ones(10, dtype=torch.bool)).area.method != "Wilson score"
