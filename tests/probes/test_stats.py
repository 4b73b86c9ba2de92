"""Each statistic against a theorem, a published value or brute force, with a negative control."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from probes import stats

NAN = float("nan")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_matches_published_values(successes, n, low, high):
    estimate = stats.wilson(successes, n)
    assert estimate.low == pytest.approx(low, abs=5e-5)
    assert estimate.high == pytest.approx(high, abs=5e-5)
    assert stats.wilson(successes, n, level=0.8).high < estimate.high


def test_wilson_mirrors_and_stays_in_the_unit_interval():
    for k in range(11):
        a, b = stats.wilson(k, 10), stats.wilson(10 - k, 10)
        assert a.low == pytest.approx(1 - b.high, abs=1e-12)
        assert 0 <= a.low <= a.value <= a.high <= 1


def test_bootstrap_covers_the_true_mean_about_as_often_as_claimed():
    samples = normal(1000, 60) + 3
    low, high = stats.bootstrap_means(samples, resamples=1000)
    covered = ((low <= 3) & (high >= 3)).double().mean().item()
    assert 0.92 <= covered <= 0.97  # percentile intervals run slightly short
    assert ((low <= 3.3) & (high >= 3.3)).double().mean() < 0.5
    low, high = stats.bootstrap_means(samples, resamples=1000, level=0.5)
    assert 0.44 <= ((low <= 3) & (high >= 3)).double().mean().item() <= 0.54


def test_bootstrap_is_paired_across_cells_and_repeatable(monkeypatch):
    grid = normal(3, 4, 30)
    low, high = stats.bootstrap_means(torch.stack([grid, 5 - 2 * grid]), resamples=300)
    torch.testing.assert_close(low[1], 5 - 2 * high[0])  # the same resamples, mapped affinely
    alone = stats.mean_interval(grid[1, 2], resamples=300)
    assert (alone.low, alone.high) == pytest.approx((low[0, 1, 2].item(), high[0, 1, 2].item()))
    assert alone != stats.mean_interval(grid[1, 2], resamples=300, seed=1)
    monkeypatch.setattr(stats, "_CHUNK", 700)  # two cells to a block
    torch.testing.assert_close(stats.bootstrap_means(grid, resamples=300), (low[0], high[0]))


def test_pairing_removes_shared_variation_from_a_difference():
    shared = 10 * normal(100)
    a, b = shared + 1 + 0.1 * normal(100, seed=1), shared
    paired = stats.difference_interval(a, b)
    assert paired.low > 0.9
    assert paired.high < 1.1
    unpaired = stats.difference_interval(a, b.flip(0))
    assert unpaired.low < 0 < unpaired.high


def test_recovery_of_a_constant_share_is_exact_and_noise_widens_it():
    full = 2 + normal(80).abs()
    noisy = 0.3 * full + normal(80, seed=1)
    value, low, high = stats.recovery_intervals(torch.stack([0.7 * full, 0 * full, noisy]), full)
    for bound in (value, low, high):
        torch.testing.assert_close(bound[:2], torch.tensor([0.7, 0.0], dtype=torch.float64))
    assert low[2] < 0.3 < high[2]
    assert high[2] - low[2] > 0.05
    one = stats.ratio_interval(noisy, full)
    assert (one.value, one.low, one.high) == pytest.approx(
        (value[2].item(), low[2].item(), high[2].item())
    )


@pytest.mark.parametrize("full", [torch.zeros(20), torch.tensor([1.0, -1.0] * 10), normal(20)])
def test_a_ratio_to_nothing_is_refused(full):
    with pytest.raises(ValueError, match="denominator mean away from 0"):
        stats.recovery_intervals(torch.ones(2, 20), full)


def test_exact_sign_flip_equals_brute_force():
    effects = (normal(5, 7) + 0.5).round(decimals=1)  # rounded, so that sums tie
    brute = []
    for row in effects.numpy():
        flipped = [abs(np.dot(signs, row)) for signs in product([-1, 1], repeat=7)]
        brute.append(np.mean(np.array(flipped) >= abs(row.sum()) - 1e-9))
    np.testing.assert_allclose(stats.sign_flip_p(effects).numpy(), brute)
    assert stats.sign_flip_p(torch.ones(10)).item() == 2 / 2**10


def test_sampled_sign_flip_is_uniform_under_the_null_and_small_under_an_effect():
    p = stats.sign_flip_p(normal(1000, 25), permutations=500)
    assert abs((p <= 0.05).double().mean().item() - 0.05) < 0.025
    assert abs(p.mean().item() - 0.5) < 0.04
    assert stats.sign_flip_p(normal(25) + 2, permutations=500).item() == 1 / 501
    assert (stats.sign_flip_p(torch.zeros(2, 25)) == 1).all()
    assert (stats.sign_flip_p(torch.zeros(2, 5)) == 1).all()


def test_benjamini_hochberg_by_hand_and_around_nan():
    # m = 5: p * 5 / rank = .05, .1, .065, .05125, .6 from rank 1 to 5; then minima from the right.
    p = torch.tensor([[0.6, 0.01, NAN], [0.041, 0.04, 0.039]], dtype=torch.float64)
    q = stats.benjamini_hochberg(p)
    expected = torch.tensor([[0.6, 0.05, NAN], [0.05125, 0.05125, 0.05125]], dtype=torch.float64)
    torch.testing.assert_close(q, expected, equal_nan=True)
    assert stats.benjamini_hochberg(torch.full((3,), NAN)).isnan().all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        stats.benjamini_hochberg(torch.tensor([0.1, 1.2]))


def test_false_discoveries_stay_below_the_level_where_raw_p_values_do_not():
    effects = normal(200, 40, 20)
    effects[:, :10] += 1.5
    p = stats.sign_flip_p(effects, permutations=4000)

    def false_share(kept: torch.Tensor) -> float:
        return (kept[:, 10:].sum(1) / kept.sum(1).clamp_min(1)).double().mean().item()

    assert false_share(torch.stack([stats.benjamini_hochberg(row) for row in p]) <= 0.1) < 0.1
    assert false_share(p <= 0.1) > 0.1


def test_auroc_agrees_with_sklearn_under_ties_and_flips_with_the_labels():
    scores = normal(6, 40).round()
    labels = normal(40, seed=1) > 0.3
    values = stats.auroc_values(scores, labels)
    expected = [roc_auc_score(labels.numpy(), row) for row in scores.numpy()]
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(stats.auroc_values(scores, ~labels), 1 - values)
    assert stats.auroc(scores[0], labels).value == pytest.approx(expected[0])


def test_auroc_interval_covers_and_is_not_a_point_at_full_separation():
    labels = torch.arange(60) < 25
    truth = 0.5 * (1 + torch.erf(torch.tensor(1.2 / 2))).item()  # Phi(1.2 / sqrt 2)
    draws = [stats.auroc(row + 1.2 * labels, labels) for row in normal(400, 60)]
    covered = np.mean([draw.low <= truth <= draw.high for draw in draws])
    assert 0.91 <= covered <= 0.985
    assert np.mean([draw.low <= 0.5 <= draw.high for draw in draws]) < 0.2
    perfect = stats.auroc(labels.double(), labels)
    assert perfect.high == 1
    assert 0.8 < perfect.low < 0.9


def test_estimate_round_trips_prints_and_validates():
    estimate = stats.Estimate(0.95, 0.89, 0.98, 120, method="by hand")
    assert stats.Estimate.from_json(estimate.to_json()) == estimate
    assert str(estimate) == "0.95 [0.89, 0.98] (n=120)"
    assert str(stats.Estimate(0.0034, 0.003, 0.0038, 9)) == "0.0034 [0.0030, 0.0038] (n=9)"
    for bad in [(1.1, 0, 1, 5), (NAN, 0, 1, 5), (0.5, 0, 1, 0), (0.5, 0, 1, 5, 95)]:
        with pytest.raises(ValueError, match="expected"):
            stats.Estimate(*bad)
    with pytest.raises(ValueError, match="keys"):
        stats.Estimate.from_json({"value": 1.0})


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: stats.wilson(5, 4), "successes <= n"),
        (lambda: stats.mean_interval(torch.tensor([1.0, NAN])), "1 NaN or infinite"),
        (lambda: stats.mean_interval(torch.ones(1)), "n >= 2"),
        (lambda: stats.mean_interval(torch.ones(2, 3)), "one cell at a time"),
        (lambda: stats.mean_interval(torch.ones(3), level=95), "level in"),
        (lambda: stats.bootstrap_means(torch.ones(3), resamples=0), "at least 1 resample"),
        (lambda: stats.difference_interval(torch.ones(3), torch.ones(4)), "one shape"),
        (lambda: stats.recovery_intervals(torch.ones(2, 3), torch.ones(4)), "same examples"),
        (lambda: stats.sign_flip_p(torch.tensor([NAN])), "finite effects"),
        (lambda: stats.auroc_values(torch.ones(1, 3), torch.ones(3).bool()), "both classes"),
        (lambda: stats.auroc_values(torch.ones(1, 3), torch.ones(3)), "bool labels"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")
