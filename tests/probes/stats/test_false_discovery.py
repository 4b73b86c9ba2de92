"""The false discovery rate by hand, and that it holds where raw p values do not."""

import pytest
import torch
from samples import normal

from probes.stats.false_discovery import benjamini_hochberg
from probes.stats.means import mean_p

NAN = float("nan")


def test_benjamini_hochberg_by_hand_and_around_nan():
    # m = 5: p * 5 / rank = .05, .1, .065, .05125, .6 from rank 1 to 5; then minima from the right.
    p = torch.tensor([[0.6, 0.01, NAN], [0.041, 0.04, 0.039]], dtype=torch.float64)
    q = benjamini_hochberg(p)
    expected = torch.tensor([[0.6, 0.05, NAN], [0.05125, 0.05125, 0.05125]], dtype=torch.float64)
    torch.testing.assert_close(q, expected, equal_nan=True)
    assert benjamini_hochberg(torch.full((3,), NAN)).isnan().all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        benjamini_hochberg(torch.tensor([0.1, 1.2]))


def test_false_discoveries_stay_below_the_level_where_raw_p_values_do_not():
    effects = normal(200, 40, 20)
    effects[:, :10] += 1.5
    p = mean_p(effects)

    def false_share(kept: torch.Tensor) -> float:
        return (kept[:, 10:].sum(1) / kept.sum(1).clamp_min(1)).double().mean().item()

    assert false_share(torch.stack([benjamini_hochberg(row) for row in p]) <= 0.1) < 0.1
    assert false_share(p <= 0.1) > 0.1
