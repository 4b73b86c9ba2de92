"""Shares of a ladder by hand, importance weights on known tails, coverage by simulation."""

import math

import pytest
import torch

from circuits.errors import UserError
from probes.geometry import OpenMass, open_mass, trigger_volume
from probes.stats.intervals import wilson

NORMAL = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())


def test_the_ladder_weighs_every_level_by_its_size():
    found = trigger_volume([10, 5, 0], [10, 10, 10], [1, 9, 90])
    assert [e.value for e in found.levels] == [1, 0.5, 0]
    assert found.total.value == pytest.approx(0.01 + 0.045)
    parts = [(wilson(k, 10), w) for k, w in ((10, 0.01), (5, 0.09), (0, 0.9))]
    up = math.sqrt(sum((w * (e.high - e.value)) ** 2 for e, w in parts))
    assert found.total.high == pytest.approx(found.total.value + up)
    assert found.total.high > 0.25  # a level without an opening is not a level without any


def test_the_ladders_interval_holds_the_share():
    rates, sizes = (0.9, 0.3, 0.05), (10.0, 100.0, 1000.0)
    truth = sum(r * s for r, s in zip(rates, sizes, strict=True)) / sum(sizes)
    draws = torch.rand(400, 3, 40, generator=torch.Generator().manual_seed(0))
    shown = (draws < torch.tensor(rates)[:, None]).sum(-1).tolist()
    totals = [trigger_volume(row, [40] * 3, sizes).total for row in shown]
    held = sum(e.low <= truth <= e.high for e in totals) / 400
    assert 0.92 <= held <= 0.99
    unweighted = sum(rates) / 3
    assert sum(e.low <= unweighted <= e.high for e in totals) == 0


def drawn(n: int, runs: int, shift: float, bar: float) -> list[OpenMass]:
    """A normal tail, from a normal proposal that is shifted towards it."""
    noise = torch.randn(runs, n, generator=torch.Generator().manual_seed(0)).double()
    rows = noise + shift
    return [open_mass(z > bar, NORMAL.log_prob(z - shift) + 3, NORMAL.log_prob(z)) for z in rows]


@pytest.mark.parametrize(("bar", "shift"), [(0.5, 0.5), (2.0, 1.0), (3.5, 1.5)])
def test_rare_openings_are_weighed_back_to_their_mass(bar, shift):
    truth = 1 - NORMAL.cdf(torch.tensor(bar).double()).item()
    found = drawn(400, 200, shift, bar)
    assert sum(m.mass.value for m in found) / 200 == pytest.approx(truth, rel=0.1)
    held = sum(m.mass.low <= truth <= m.mass.high for m in found) / 200
    assert held > 0.88
    unweighted = 1 - NORMAL.cdf(torch.tensor(bar - shift).double()).item()
    assert not any(m.mass.low <= unweighted <= m.mass.high for m in found)


def test_equal_weights_are_plain_shares_and_one_heavy_draw_is_one_draw():
    shown = torch.tensor([True, False, False, True, False])
    flat = torch.zeros(5)
    found = open_mass(shown, flat - 3, flat + 2)
    assert found.effective == pytest.approx(5)
    assert (found.mass.low, found.mass.high) == pytest.approx((wilson(2, 5).low, wilson(2, 5).high))
    heavy = open_mass(shown, flat, torch.tensor([40.0, 0, 0, 0, 0]))
    assert heavy.effective == pytest.approx(1)
    assert heavy.mass.value == pytest.approx(1)
    assert heavy.mass.low < 0.3


def test_no_opening_is_not_a_mass_of_zero():
    found = open_mass(torch.zeros(50).bool(), torch.zeros(50), torch.zeros(50))
    assert (found.mass.value, found.mass.high) == pytest.approx((0, wilson(0, 50).high))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: trigger_volume([1], [2, 3], [1]), "one length"),
        (lambda: trigger_volume([3], [2], [1]), "level 1"),
        (lambda: trigger_volume([1], [2], [0]), "size above 0"),
        (lambda: trigger_volume([], [], []), "one length"),
        (lambda: open_mass(torch.ones(2).bool(), torch.zeros(3), torch.zeros(2)), "one entry"),
        (
            lambda: open_mass(torch.ones(2).bool(), torch.zeros(2), torch.full((2,), torch.nan)),
            "score them anew",
        ),
    ],
)
def test_impossible_counts_and_draws_are_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
