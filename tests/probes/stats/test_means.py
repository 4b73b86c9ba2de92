"""Means, ratios and p values against scipy, by their theorems and by coverage, with controls."""

import numpy as np
import pytest
import torch
from samples import normal
from scipy import stats

from probes.stats import means


def exponential(*shape: int, seed: int = 0) -> torch.Tensor:
    uniform = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return -uniform.log()


def covers(bounds, truth: float) -> float:
    low, high = bounds
    return float(((low <= truth) & (truth <= high)).double().mean())


def test_without_skewness_it_is_students():
    half = normal(6, 7) + 1
    rows = torch.cat([half, 2 * half.mean(-1, keepdim=True) - half], dim=-1)  # mirrored
    low, high = means.mean_bounds(rows)
    t = stats.t.interval(0.95, 13, rows.mean(-1), rows.std(-1) / 14**0.5)
    assert (low.numpy() <= t[0] + 1e-12).all()
    assert (high.numpy() >= t[1] - 1e-12).all()
    plain = stats.ttest_1samp(rows.numpy(), 0, axis=1).pvalue
    assert (means.mean_p(rows).numpy() >= plain - 1e-12).all()
    wide = means.mean_bounds(rows.repeat(1, 40))[1] - means.mean_bounds(rows.repeat(1, 40))[0]
    exact = stats.t.interval(0.95, 559, 0, rows.repeat(1, 40).std(-1) / 560**0.5)
    assert wide.numpy() == pytest.approx(exact[1] - exact[0], rel=1e-3)


@pytest.mark.parametrize("n", [8, 12, 14, 24])
def test_skewed_means_are_covered_where_students_and_percentiles_fall_short(n):
    rows = exponential(4000, n)
    assert covers(means.mean_bounds(rows), 1) >= 0.94
    t = stats.t.interval(0.95, n - 1, rows.mean(-1), rows.std(-1) / n**0.5)
    assert covers([torch.as_tensor(end) for end in t], 1) < 0.93
    assert covers(means.mean_bounds(normal(4000, n)), 0) >= 0.94
    assert covers(means.mean_bounds(rows), 2.5) < 0.5


def test_p_is_where_the_interval_reaches_nothing():
    rows = exponential(40, 9) - 0.4
    p = means.mean_p(rows)
    for row, at in zip(rows, p.tolist(), strict=True):
        low, high = means.mean_bounds(row, 1 - at)
        assert min(abs(float(low)), abs(float(high))) < 1e-6
    shrunk = means.mean_p(rows + 5)
    assert (shrunk < p).all()


def test_type_one_error_is_the_level_under_skewness_and_that_of_sign_flips_is_not():
    rows = exponential(4000, 12, seed=3) - 1
    assert float((means.mean_p(rows) <= 0.05).double().mean()) <= 0.06
    signs = 2 * torch.randint(0, 2, (12, 600), generator=torch.Generator().manual_seed(0)) - 1
    flipped = (rows @ signs.double()).abs() >= rows.sum(-1, keepdim=True).abs() - 1e-9
    assert float((flipped.double().mean(-1) <= 0.05).double().mean()) > 0.07


def test_where_nothing_varies_the_answer_is_defined():
    rows = torch.tensor([[0.1] * 9, [0.0] * 9, [-2.0] * 9], dtype=torch.float64)
    low, high = means.mean_bounds(rows)
    torch.testing.assert_close(low, rows[:, 0])
    torch.testing.assert_close(high, rows[:, 0])
    assert means.mean_p(rows).tolist() == [2**-8, 1, 2**-8]
    assert means.mean_p(torch.tensor([1.0, 1.0, 1.1])) < 0.01  # and varies a little


def test_units_of_one_value_are_values_and_equal_groups_are_their_means():
    """Bell & McCaffrey (2002): for balanced clusters CR2 is the variance of the means, df G - 1."""
    rows = normal(5, 12) + 0.2
    alone = means.units_of(rows)
    assert alone.freedom == pytest.approx(11)
    torch.testing.assert_close(alone.error, rows.std(-1) / 12**0.5)
    torch.testing.assert_close(
        means.mean_bounds(rows, groups=torch.arange(12)), means.mean_bounds(rows)
    )
    pairs = torch.arange(12) // 2
    grouped = means.units_of(rows, pairs)
    assert grouped.freedom == pytest.approx(5)
    torch.testing.assert_close(grouped.error, rows.view(5, 6, 2).mean(-1).std(-1) / 6**0.5)
    torch.testing.assert_close(
        means.mean_bounds(rows, groups=pairs), means.mean_bounds(rows.view(5, 6, 2).mean(-1))
    )


def test_unequal_groups_have_the_variance_and_freedom_of_the_papers_matrices():
    """CR2 by its definition, A = (I - H_gg)^(-1/2), df by Satterthwaite for independent errors."""
    member, x = np.repeat(np.arange(4), [1, 2, 5, 7]), normal(15).numpy()
    n, ones = 15, np.ones((15, 1))
    hat, parts = ones @ ones.T / n, []
    for group in range(4):
        own = member == group
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - hat[np.ix_(own, own)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        parts.append((np.eye(n) - hat)[:, own] @ root @ ones[own] / n)
    p = np.hstack(parts)
    variance = sum(float(p[:, i] @ x) ** 2 for i in range(4))
    inner = p.T @ p
    units = means.units_of(torch.from_numpy(x)[None], torch.from_numpy(member))
    assert float(units.error) ** 2 == pytest.approx(variance)
    assert units.freedom == pytest.approx(np.trace(inner) ** 2 / (inner**2).sum())
    assert units.freedom < 3


def test_a_ratio_is_fiellers_where_nothing_is_skewed():
    half_a, half_b = normal(1, 8), normal(8, seed=1)
    a = torch.cat([1 + half_a, 1 - half_a], -1)
    b = torch.cat([4 + half_b, 4 - half_b])
    value, low, high = means.ratio_bounds(a, b)
    t2 = stats.t.ppf(0.975, 15) ** 2 / 16
    cov = np.cov(a[0], b)
    roots = np.roots(
        [
            b.mean() ** 2 - t2 * cov[1, 1],
            2 * (t2 * cov[0, 1] - a.mean() * b.mean()),
            a.mean() ** 2 - t2 * cov[0, 0],
        ]
    )
    assert float(value) == pytest.approx(0.25)
    assert float(low) <= min(roots) + 1e-9
    assert float(high) >= max(roots) - 1e-9
    assert float(high - low) < 1.15 * (max(roots) - min(roots))
    mirrored = means.ratio_bounds(-a, -b)
    assert [float(v) for v in mirrored] == pytest.approx([float(value), float(low), float(high)])


def test_ratios_are_covered_where_the_effect_is_skewed_and_fiellers_alone_falls_short():
    held = plain = 0
    for seed in range(250):
        b = 1 + normal(12, seed=seed).abs()
        a = 0.3 * b + exponential(12, seed=seed + 1000) - 1
        _, low, high = means.ratio_bounds(a, b)
        held += bool(low <= 0.3 <= high)
        t = stats.t.interval(0.95, 11, a.mean() - 0.3 * b.mean(), (a - 0.3 * b).std() / 12**0.5)
        plain += bool(t[0] <= 0 <= t[1])  # Fieller's holds 0.3 where this holds 0
    assert held / 250 >= 0.93
    assert plain / 250 < 0.92


def test_a_constant_share_is_exact_and_noise_widens_it():
    full = 2 + normal(80).abs()
    noisy = 0.3 * full + normal(80, seed=1)
    value, low, high = means.ratio_bounds(torch.stack([0.7 * full, 0 * full, noisy]), full)
    for bound in (value, low, high):
        torch.testing.assert_close(bound[:2], torch.tensor([0.7, 0.0], dtype=torch.float64))
    assert low[2] < 0.3 < high[2]
    assert high[2] - low[2] > 0.05


@pytest.mark.parametrize("full", [torch.zeros(20), torch.tensor([1.0, -1.0] * 10), normal(20)])
def test_a_ratio_to_nothing_is_refused(full):
    with pytest.raises(ValueError, match="denominator mean away from 0"):
        means.ratio_bounds(torch.ones(2, 20), full)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: means.mean_bounds(torch.ones(1)), "n >= 2"),
        (lambda: means.mean_bounds(torch.ones(3), level=95), "level in"),
        (
            lambda: means.mean_bounds(torch.ones(3), groups=torch.zeros(3).long()),
            "2 or more groups",
        ),
        (lambda: means.mean_bounds(torch.ones(3), groups=torch.arange(2)), "one group for each"),
        (lambda: means.ratio_bounds(torch.ones(2, 3), torch.ones(4)), "same examples"),
        (lambda: means.mean_p(torch.tensor([1.0, float("nan")])), "1 NaN or infinite"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
