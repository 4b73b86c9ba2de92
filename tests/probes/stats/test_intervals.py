"""Each interval against a published value, its coverage or its theorem, with a control."""

import pytest
import torch
from samples import normal

from probes.stats import intervals

NAN = float("nan")


# Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_matches_published_values(successes, n, low, high):
    estimate = intervals.wilson(successes, n)
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)
    assert intervals.wilson(successes, n, level=0.8).high < estimate.high


def test_wilson_mirrors_and_stays_in_the_unit_interval():
    for k in range(11):
        a, b = intervals.wilson(k, 10), intervals.wilson(10 - k, 10)
        assert a.low == pytest.approx(1 - b.high, abs=1e-12)
        assert 0 <= a.low <= a.value <= a.high <= 1


def test_bootstrap_covers_the_true_mean_about_as_often_as_claimed():
    samples = normal(1000, 60) + 3
    low, high = intervals.bootstrap_means(samples, resamples=1000)
    covered = ((low <= 3) & (high >= 3)).double().mean().item()
    assert 0.92 <= covered <= 0.97  # percentile intervals run slightly short
    assert ((low <= 3.3) & (high >= 3.3)).double().mean() < 0.5
    low, high = intervals.bootstrap_means(samples, resamples=1000, level=0.5)
    assert 0.44 <= ((low <= 3) & (high >= 3)).double().mean().item() <= 0.54


def test_bootstrap_is_paired_across_cells_and_repeatable(monkeypatch):
    grid = normal(3, 4, 30)
    low, high = intervals.bootstrap_means(torch.stack([grid, 5 - 2 * grid]), resamples=300)
    torch.testing.assert_close(low[1], 5 - 2 * high[0])  # the same resamples, mapped affinely
    alone = intervals.mean_interval(grid[1, 2], resamples=300)
    assert (alone.low, alone.high) == pytest.approx((low[0, 1, 2].item(), high[0, 1, 2].item()))
    assert alone != intervals.mean_interval(grid[1, 2], resamples=300, seed=1)
    monkeypatch.setattr(intervals, "CHUNK", 700)  # two cells to a block
    torch.testing.assert_close(intervals.bootstrap_means(grid, resamples=300), (low[0], high[0]))


def test_pairing_removes_shared_variation_from_a_difference():
    shared = 10 * normal(100)
    a, b = shared + 1 + 0.1 * normal(100, seed=1), shared
    paired = intervals.difference_interval(a, b)
    assert paired.low > 0.9
    assert paired.high < 1.1
    unpaired = intervals.difference_interval(a, b.flip(0))
    assert unpaired.low < 0 < unpaired.high


def test_recovery_of_a_constant_share_is_exact_and_noise_widens_it():
    full = 2 + normal(80).abs()
    noisy = 0.3 * full + normal(80, seed=1)
    value, low, high = intervals.recovery_intervals(
        torch.stack([0.7 * full, 0 * full, noisy]), full
    )
    for bound in (value, low, high):
        torch.testing.assert_close(bound[:2], torch.tensor([0.7, 0.0], dtype=torch.float64))
    assert low[2] < 0.3 < high[2]
    assert high[2] - low[2] > 0.05


@pytest.mark.parametrize("full", [torch.zeros(20), torch.tensor([1.0, -1.0] * 10), normal(20)])
def test_a_ratio_to_nothing_is_refused(full):
    with pytest.raises(ValueError, match="denominator mean away from 0"):
        intervals.recovery_intervals(torch.ones(2, 20), full)


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
        (lambda: intervals.bootstrap_means(torch.ones(3), resamples=0), "at least 1 resample"),
        (lambda: intervals.difference_interval(torch.ones(3), torch.ones(4)), "one shape"),
        (lambda: intervals.recovery_intervals(torch.ones(2, 3), torch.ones(4)), "same examples"),
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
