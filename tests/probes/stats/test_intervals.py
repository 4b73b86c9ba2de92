"""Each interval against a published value, its coverage or its theorem, with a control."""

import pytest
import torch
from samples import normal

from probes.stats import intervals
from probes.stats.shares import tango_bounds

NAN = float("nan")


def test_wilson_mirrors_and_stays_in_the_unit_interval():
    for k in range(11):
        a, b = intervals.wilson(k, 10), intervals.wilson(10 - k, 10)
        assert a.low == pytest.approx(1 - b.high, abs=1e-12)
        assert 0 <= a.low <= a.value <= a.high <= 1


def test_pairing_removes_shared_variation_from_a_difference():
    shared = 10 * normal(100)
    a, b = shared + 1 + 0.1 * normal(100, seed=1), shared
    paired = intervals.difference_interval(a, b)
    assert paired.low > 0.9
    assert paired.high < 1.1
    unpaired = intervals.difference_interval(a, b.flip(0))
    assert unpaired.low < 0 < unpaired.high


def test_flags_have_tangos_interval_and_numbers_that_of_their_mean():
    a, b = torch.tensor([1.0] * 7 + [0] * 5), torch.tensor([1.0] * 2 + [0] * 10)
    flags = intervals.difference_interval(a, b)
    low, high = tango_bounds(torch.tensor(5.0).double(), torch.tensor(0.0).double(), 12)
    assert (flags.low, flags.high) == pytest.approx((float(low), float(high)))
    assert flags.method == "Tango score"
    numbers = intervals.difference_interval(a + 0.5, b)
    assert numbers.method == intervals.MEANS
    never = intervals.difference_interval(a, a)
    assert never.low < -0.1 < 0.1 < never.high  # that none differed is not that none would


def test_a_quotient_holds_the_ratios_that_a_difference_allows():
    above, below = intervals.Estimate(0.3, 0.1, 0.6, 40), intervals.Estimate(0.9, 0.7, 0.95, 40)
    found = intervals.quotient(above, below)
    for end in (found.low, found.high):
        apart = intervals.newcombe(above, end * below)
        assert min(abs(apart.low), abs(apart.high)) < 1e-9
    assert found.low < 1 / 3 < found.high
    turned = intervals.quotient(
        intervals.Estimate(-0.3, -0.6, -0.1, 40), intervals.Estimate(-0.9, -0.95, -0.7, 40)
    )
    assert (turned.low, turned.high) == pytest.approx((found.low, found.high))
    low = intervals.quotient(intervals.Estimate(0.1, -0.2, 0.4, 9), below)
    assert low.low < -0.2
    assert intervals.quotient(above, intervals.Estimate(0.2, -0.1, 0.5, 40)) is None


def test_estimate_prints_and_validates():
    estimate = intervals.Estimate(0.95, 0.89, 0.98, 120, method="by hand")
    assert str(estimate) == "0.95 [0.89, 0.98] (n=120)"
    assert str(intervals.Estimate(0.0034, 0.003, 0.0038, 9)) == "0.0034 [0.0030, 0.0038] (n=9)"
    for bad in [(1.1, 0, 1, 5), (NAN, 0, 1, 5), (0.5, 0, 1, 0), (0.5, 0, 1, 5, 95)]:
        with pytest.raises(ValueError, match="expected"):
            intervals.Estimate(*bad)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: intervals.wilson(5, 4), "successes <= n"),
        (lambda: intervals.mean_interval(torch.tensor([1.0, NAN])), "1 NaN or infinite"),
        (lambda: intervals.mean_interval(torch.ones(1)), "n >= 2"),
        (lambda: intervals.mean_interval(torch.ones(2, 3)), "one cell at a time"),
        (lambda: intervals.mean_interval(torch.ones(3), level=95), "level in"),
        (lambda: intervals.difference_interval(torch.ones(3), torch.ones(4)), "one shape"),
        (lambda: intervals.rate([]), "at least one answer"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")


def test_newcombes_interval_is_that_of_his_paper():
    found = intervals.newcombe(intervals.wilson(56, 70), intervals.wilson(48, 80))
    assert found.value == pytest.approx(0.2)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.n == 70
    back = intervals.newcombe(intervals.wilson(48, 80), intervals.wilson(56, 70))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    same = intervals.newcombe(intervals.wilson(5, 50), intervals.wilson(5, 50))
    assert same.value == 0
    assert same.low < 0 < same.high


def test_an_estimate_is_said_with_its_interval_in_the_format_of_a_float():
    e = intervals.Estimate(0.25, 0.1, 0.4, 20)
    assert f"{e:.3g}" == "0.25 [0.1, 0.4]"
    assert f"{e:.0%}" == "25% [10%, 40%]"
    assert f"{e:.1%p}" == "25.0% [10.0, 40.0]"
    assert f"{e:.0%pn}" == "25% [10, 40] (n=20)"
    assert f"{e:7.2f}" == "   0.25 [0.10, 0.40]"  # the value's width alone
    assert f"{100 * e:+.0f}" == "+25 [+10, +40]"
    assert f"{e}" == str(e) == "0.25 [0.10, 0.40] (n=20)"
    assert f"{intervals.Estimate(-1e-5, -2e-5, 1e-5, 2):z.3f}" == "0.000 [0.000, 0.000]"
    with pytest.raises(ValueError, match="a spec such as"):
        format(e, "d")
