"""Planted logistics, steps, lines and noise are told apart, and their parameters recovered."""

import math

import pytest
import torch

from probes.causal.transfer import LogisticFit, fit_logistic

DOSES = torch.linspace(-2, 2, 17)


def noise(n=30, scale=0.1, seed=0) -> torch.Tensor:
    return scale * torch.randn(17, n, generator=torch.Generator().manual_seed(seed))


def logistic(lower=0.1, upper=0.9, threshold=0.7, slope=6.0) -> torch.Tensor:
    return (lower + (upper - lower) * torch.sigmoid(slope * (DOSES - threshold)))[:, None]


def fitted(values, **options) -> LogisticFit:
    found = fit_logistic(DOSES, values, **options)
    assert found is not None
    return found


@pytest.mark.parametrize("slope", [2.5, 6.0, 12.0])
@pytest.mark.parametrize("threshold", [-0.4, 0.7])
def test_planted_parameters_are_recovered_exactly_without_noise(slope, threshold):
    fit = fitted(logistic(slope=slope, threshold=threshold).repeat(1, 3))
    found = (fit.lower.value, fit.upper.value, fit.threshold.value, fit.slope.value)
    assert found == pytest.approx((0.1, 0.9, threshold, slope), rel=5e-3)
    assert fit.width.value == pytest.approx(math.log(81) / slope, rel=5e-3)
    assert fit.r2_logistic > 0.9999
    assert fit.curve(DOSES).numpy() == pytest.approx(
        logistic(slope=slope, threshold=threshold)[:, 0].numpy(), abs=1e-3
    )


def test_the_width_is_the_distance_from_ten_to_ninety_percent():
    fit = fitted(logistic().repeat(1, 3))
    half = fit.width.value / 2
    ends = torch.tensor([fit.threshold.value - half, fit.threshold.value + half])
    shares = (fit.curve(ends) - fit.lower.value) / fit.rise.value
    assert shares.tolist() == pytest.approx([0.1, 0.9], abs=1e-6)


def test_intervals_hold_the_planted_values_and_shrink_with_more_prompts():
    few, many = (fitted(logistic() + noise(n, 0.3, seed=1), level=0.999) for n in (30, 300))
    for fit in (few, many):
        for name, planted in (("lower", 0.1), ("upper", 0.9), ("threshold", 0.7), ("rise", 0.8)):
            estimate = getattr(fit, name)
            assert estimate.low < planted < estimate.high, name
        assert fit.width.low < math.log(81) / 6 < fit.width.high
    for name in ("threshold", "rise", "lower", "upper", "width"):
        a, b = (getattr(fit, name) for fit in (few, many))
        assert b.high - b.low < (a.high - a.low) / 2, name


def test_a_coverage_of_ninety_five_percent_is_about_that():
    held = 0
    for seed in range(40):
        values = logistic() + noise(60, 0.3, seed=seed)
        fit = fitted(values, resamples=200, seed=seed)
        held += fit.threshold.low <= 0.7 <= fit.threshold.high
        held += fit.width.low <= math.log(81) / 6 <= fit.width.high
    assert 70 <= held <= 79  # 76 expected; some are missed, or they would be too wide


def test_a_falling_curve_has_its_upper_asymptote_below():
    fit = fitted(logistic(lower=0.9, upper=0.1) + noise())
    assert fit.upper.value == pytest.approx(0.1, abs=0.05)
    assert fit.lower.value == pytest.approx(0.9, abs=0.05)
    assert fit.rise.high < 0
    assert fit.slope.value > 0


def test_a_steps_width_is_only_bounded():
    step = fitted((DOSES > 0.6).float()[:, None] + noise())
    assert not step.is_resolved
    assert 0.5 < step.threshold.value < 0.75  # the doses on either side
    assert step.width.high < step.spacing
    assert fitted(logistic(slope=4.0) + noise()).is_resolved


def test_a_straight_line_rises_wider_than_the_doses():
    fit = fitted(0.3 * DOSES[:, None] + noise())
    assert fit.width.low > 2  # wider than the whole way from clean to beyond triggered
    assert fit.r2_linear == pytest.approx(fit.r2_logistic, abs=5e-3)
    exact = fitted(0.3 * DOSES[:, None].repeat(1, 4))
    assert exact.r2_linear == pytest.approx(1)
    assert exact.r2_logistic < exact.r2_linear
    steep = fitted(logistic() + noise())
    assert steep.r2_linear < steep.r2_logistic - 0.1


def test_a_flat_curve_has_no_fit():
    assert fit_logistic(DOSES, torch.full((17, 4), 0.3)) is None
    assert fit_logistic(DOSES, torch.rand(4).expand(17, 4)) is None  # prompts differ, doses do not
    found = [fit_logistic(DOSES, noise(seed=s), resamples=100) for s in range(20)]
    assert sum(fit is not None for fit in found) <= 4  # 1 expected at p = 0.05


def test_a_small_rise_beyond_noise_is_fitted_and_its_size_is_told():
    fit = fitted(0.02 * logistic(0, 1) + noise(scale=0.01))
    assert fit.rise.value == pytest.approx(0.02, abs=0.005)
    assert fit.p_flat < 0.01


def test_the_fit_is_repeatable_and_equivariant():
    values = logistic() + noise()
    fit = fitted(values, seed=3)
    assert fitted(values, seed=3) == fit
    scaled = fitted(5 * values - 2, seed=3)
    assert scaled.threshold.value == pytest.approx(fit.threshold.value, abs=1e-3)
    assert scaled.rise.value == pytest.approx(5 * fit.rise.value, rel=1e-3)
    assert scaled.lower.value == pytest.approx(5 * fit.lower.value - 2, abs=1e-2)


def test_doses_that_cannot_be_fitted_are_refused():
    with pytest.raises(ValueError, match="rising"):
        fit_logistic(DOSES.flip(0), noise())
    with pytest.raises(ValueError, match=r"n >= 5"):
        fit_logistic(DOSES[:4], noise()[:4])
    with pytest.raises(ValueError, match="one row per coefficient"):
        fit_logistic(DOSES[:9], noise())
    with pytest.raises(ValueError, match="finite"):
        fit_logistic(DOSES, noise() * math.nan)
    with pytest.raises(ValueError, match=r"n >= 2"):
        fit_logistic(DOSES, noise(n=1))
    with pytest.raises(ValueError, match="resample"):
        fit_logistic(DOSES, logistic() + noise(), resamples=0)
