"""Bounds of shares against published values, exact coverage and theorems, with controls."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest, chi2, multinomial

from probes.stats.shares import clopper_pearson_bounds, tango_bounds, wilson_bounds

RATES = np.concatenate([np.linspace(0.005, 0.1, 39), np.linspace(0.1, 0.9, 81)])


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def all_shares(n: int) -> torch.Tensor:
    return torch.arange(n + 1, dtype=torch.float64) / n


def plain_wilson(n: int) -> tuple[np.ndarray, np.ndarray]:
    bounds = [binomtest(k, n).proportion_ci(method="wilson") for k in range(n + 1)]
    return np.array([b.low for b in bounds]), np.array([b.high for b in bounds])


def coverage(low: np.ndarray, high: np.ndarray, rates: np.ndarray = RATES) -> np.ndarray:
    n = len(low) - 1
    chances = binom.pmf(np.arange(n + 1)[:, None], n, rates)
    return (chances * ((low[:, None] <= rates) & (rates <= high[:, None]))).sum(0)


# Newcombe (1998), Statistics in Medicine 17:857, table I, method 3; none of few successes.
@pytest.mark.parametrize(
    ("seen", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_wilson_matches_published_values(seen, n, low, high):
    found = wilson_bounds(tensor(seen / n), n)
    assert [float(end) for end in found] == pytest.approx([low, high], abs=5e-5)


def test_few_successes_have_the_poissons_lower_bound_and_few_failures_the_upper():
    """Brown, Cai & DasGupta (2001), eq. 11: half the 5 % quantile of chi2 with 2 x degrees."""
    n = 40
    low, high = (bound.numpy() for bound in wilson_bounds(all_shares(n), n))
    plain_low, plain_high = plain_wilson(n)
    for seen in (1, 2, 3):
        assert low[seen] == pytest.approx(chi2.ppf(0.05, 2 * seen) / 2 / n)
        assert high[n - seen] == pytest.approx(1 - low[seen])
    assert low[4:] == pytest.approx(plain_low[4:])
    assert high[: n - 3] == pytest.approx(plain_high[: n - 3])


@pytest.mark.parametrize("n", [5, 8, 12, 14, 24, 40, 150])
def test_wilson_covers_every_rate_where_the_plain_one_does_not(n):
    mended = coverage(*(bound.numpy() for bound in wilson_bounds(all_shares(n), n)))
    assert mended.min() >= 0.90
    assert mended.mean() >= 0.95
    if n < 40:
        assert coverage(*plain_wilson(n)).min() < 0.90  # so the check can fail


def test_clopper_pearson_is_scipys_and_takes_fractions_of_trials():
    for seen, n in ((0, 9), (4, 9), (9, 9), (1, 150)):
        exact = binomtest(seen, n).proportion_ci(0.9, method="exact")
        found = [float(end) for end in clopper_pearson_bounds(tensor(seen / n), n, 0.9)]
        assert found == pytest.approx([exact.low, exact.high])
    fewer, more = (clopper_pearson_bounds(tensor(0.5), n) for n in (7.3, 7.4))
    assert fewer[0] < more[0] < more[1] < fewer[1]


# Fagerland, Lydersen & Laake (2014), Statistics in Medicine 33:2850, Tango's asymptotic score
# interval of the airway data of Bentur et al. (1 gained, 7 lost, 21 children).
def test_tango_is_the_published_interval():
    low, high = tango_bounds(tensor(1), tensor(7), 21)
    assert (float(low), float(high)) == pytest.approx((-0.517, -0.026), abs=6e-4)
    back = tango_bounds(tensor(7), tensor(1), 21)
    assert (float(back[0]), float(back[1])) == pytest.approx((-float(high), -float(low)))


def test_tangos_interval_is_that_of_mcnemars_test_and_in_closed_form_where_nothing_changed():
    z2, n = chi2.ppf(0.95, 1), 30
    b, c = (
        side.flatten().double() for side in torch.meshgrid(*[torch.arange(16)] * 2, indexing="ij")
    )
    low, high = tango_bounds(b, c, n)
    mcnemar = torch.where(b + c > 0, (b - c) ** 2 / (b + c), 0.0)
    assert torch.equal((low > 0) | (high < 0), mcnemar > z2)
    edge = z2 / (n + z2)
    assert (float(low[0]), float(high[0])) == pytest.approx((-edge, edge))
    assert ((low <= (b - c) / n) & ((b - c) / n <= high)).all()
    assert [float(end) for end in tango_bounds(tensor(n), tensor(0), n)][1] == 1


def test_tango_covers_near_constant_differences_where_a_bootstrap_does_not():
    n, changed = 12, (0.05, 0.0)
    counts = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    b, c = (tensor(*side) for side in zip(*counts, strict=True))
    chances = multinomial.pmf(
        [(x, y, n - x - y) for x, y in counts], n, (*changed, 1 - sum(changed))
    )
    low, high = tango_bounds(b, c, n)
    held = ((low <= 0.05) & (high >= 0.05)).numpy()
    assert chances[held].sum() >= 0.95
    assert chances[[x + y > 0 for x, y in counts]].sum() < 0.5  # what a bootstrap can cover
