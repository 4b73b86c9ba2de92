"""The rank needed is a whole number with the spread that resampling the prompts gives it."""

import pytest
import torch

from probes.causal import rank


def curve(*levels, n=40, noise=0.0, seed=0):
    """Values at every size about the levels given, from base 1 to source 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor(levels)[:, None] + noise * torch.randn(
        len(levels), n, generator=generator
    )
    return values, torch.ones(n), torch.zeros(n)


def test_without_spread_the_interval_is_a_point():
    found = rank.rank_needed(*curve(1.0, 0.5, 0.05, 0.0))
    assert (found.value, found.low, found.high, found.enough) == (2, 2, 2, 2)
    assert found.chances == (0, 0, 1, 0, 0)
    assert str(found) == "2 [2, 2] (n=40)"
    assert rank.rank_needed(*curve(1.0, 0.5, 0.05, 0.0), share=0.5).value == 1
    assert rank.rank_needed(*curve(1.0, 0.5, 0.05, 0.0), share=1.0).value == 3


def test_a_rank_beyond_the_basis_is_none():
    found = rank.rank_needed(*curve(1.0, 0.9, 0.8))
    assert (found.value, found.low, found.high, found.enough) == (None,) * 4
    assert found.chances[-1] == 1
    assert str(found) == ">2 [>2, >2] (n=40)"


def test_a_level_at_the_threshold_is_reached_in_about_half_of_the_resamples():
    """By symmetry; a clear level is not, and a wide enough one decides what is enough."""
    values, base, source = curve(1.0, 0.1, 0.0, noise=0.3, n=200)
    values[1] += 0.1 - values[1].mean()  # exactly at the threshold
    values[2] -= values[2].mean()
    found = rank.rank_needed(values, base, source, resamples=4000)
    assert found.chances[1] == pytest.approx(0.5, abs=0.05)
    assert (found.low, found.high, found.enough) == (1, 2, 2)
    values[1] -= 0.1
    assert rank.rank_needed(values, base, source).high == 1


def test_chances_agree_with_resampling_by_hand():
    values, base, source = curve(1.0, 0.3, 0.1, 0.02, noise=0.4, n=12, seed=3)
    base = base + 0.3 * torch.randn(12, generator=torch.Generator().manual_seed(4))
    found = rank.rank_needed(values, base, source, resamples=4000)
    generator = torch.Generator().manual_seed(99)
    counts = [0] * 5
    for _ in range(4000):
        rows = torch.randint(12, (12,), generator=generator)
        full = (source[rows] - base[rows]).mean()
        shares = (values[:, rows] - base[rows]).mean(dim=1) / full
        counts[next((r for r, s in enumerate(shares) if s >= 0.9), 4)] += 1
    assert sum(found.chances) == pytest.approx(1)
    for chance, count in zip(found.chances, counts, strict=True):
        assert chance == pytest.approx(count / 4000, abs=0.04)
    assert max(found.chances) < 0.9  # otherwise the comparison would show nothing


def test_the_sign_and_scale_of_the_metric_do_not_matter():
    values, base, source = curve(1.0, 0.3, 0.1, 0.02, noise=0.2)
    found = rank.rank_needed(values, base, source)
    assert rank.rank_needed(3 - 7 * values, 3 - 7 * base, 3 - 7 * source) == found
    assert rank.rank_needed(values, base, source, seed=0) == found
    assert rank.rank_needed(values[[0, 3]], base, source).chances != found.chances


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: rank.rank_needed(torch.ones(4), torch.ones(4), torch.zeros(4)), "one curve"),
        (lambda: rank.rank_needed(torch.ones(2, 4), torch.ones(3), torch.zeros(4)), "same prompts"),
        (lambda: rank.rank_needed(torch.ones(2, 4), torch.ones(4), torch.ones(4)), "no effect"),
        (lambda: rank.rank_needed(*curve(1.0, 0.0), share=0.0), "share in"),
        (lambda: rank.rank_needed(*curve(1.0, 0.0), level=1.0), "level in"),
        (lambda: rank.rank_needed(*curve(1.0, 0.0), resamples=0), "at least 1 resample"),
        (lambda: rank.rank_needed(*curve(1.0, float("nan"))), "finite values"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")
