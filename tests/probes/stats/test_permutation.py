"""Sign flips and the false discovery rate against brute force and by hand, with controls."""

from itertools import product

import numpy as np
import pytest
import torch
from samples import normal

from probes.stats import permutation

NAN = float("nan")


def test_exact_sign_flip_equals_brute_force():
    effects = (normal(5, 7) + 0.5).round(decimals=1)  # rounded, so that sums tie
    brute = []
    for row in effects.numpy():
        flipped = [abs(np.dot(signs, row)) for signs in product([-1, 1], repeat=7)]
        brute.append(np.mean(np.array(flipped) >= abs(row.sum()) - 1e-9))
    np.testing.assert_allclose(permutation.sign_flip_p(effects).numpy(), brute)
    assert permutation.sign_flip_p(torch.ones(10)).item() == 2 / 2**10
    assert permutation.sign_flip_p(effects.float()).dtype == torch.float64


def test_sampled_sign_flip_is_uniform_under_the_null_and_small_under_an_effect():
    p = permutation.sign_flip_p(normal(1000, 25), permutations=500)
    assert abs((p <= 0.05).double().mean().item() - 0.05) < 0.025
    assert abs(p.mean().item() - 0.5) < 0.04
    assert permutation.sign_flip_p(normal(25) + 2, permutations=500).item() == 1 / 501
    assert (permutation.sign_flip_p(torch.zeros(2, 25)) == 1).all()
    assert (permutation.sign_flip_p(torch.zeros(2, 5)) == 1).all()


def test_patterns_are_added_until_one_cell_of_many_can_be_found():
    effects = 0.3 * normal(400, 25)
    effects[7] += 2
    coarse = permutation.sign_flip_p(effects, permutations=200)
    fine = permutation.sign_flip_p(effects, permutations=200, tests=400)
    assert permutation.benjamini_hochberg(coarse)[7] > 0.05  # 400 / 201 at best
    assert permutation.benjamini_hochberg(fine)[7] <= 0.011
    reached = coarse > 1 / 201
    assert torch.equal(fine[reached], coarse[reached])
    assert (fine[~reached] != coarse[~reached]).any()
    flipped = permutation.sign_flip_p(effects, permutations=200, tests=400, seed=1)
    assert not torch.equal(flipped, fine)


def test_added_patterns_keep_the_p_values_valid_and_near_the_exact_ones():
    noise = normal(4000, 14)
    p = permutation.sign_flip_p(noise, permutations=100, tests=200)
    for level in (0.001, 0.01, 0.05, 0.5):
        share = (p <= level).double().mean().item()
        assert share < level + 3 * (level / 4000) ** 0.5
    strong = normal(1, 14) + 1.3
    signs = torch.tensor(list(product([-1.0, 1.0], repeat=14)), dtype=torch.float64)
    exact = ((signs @ strong[0]).abs() >= strong.sum().abs() - 1e-9).double().mean().item()
    added = [permutation.sign_flip_p(strong, 50, seed, tests=1000).item() for seed in range(40)]
    assert exact < 1 / 51  # out of reach of the first patterns
    assert exact / 2 < sorted(added)[20] < 2 * exact


def test_benjamini_hochberg_by_hand_and_around_nan():
    # m = 5: p * 5 / rank = .05, .1, .065, .05125, .6 from rank 1 to 5; then minima from the right.
    p = torch.tensor([[0.6, 0.01, NAN], [0.041, 0.04, 0.039]], dtype=torch.float64)
    q = permutation.benjamini_hochberg(p)
    expected = torch.tensor([[0.6, 0.05, NAN], [0.05125, 0.05125, 0.05125]], dtype=torch.float64)
    torch.testing.assert_close(q, expected, equal_nan=True)
    assert permutation.benjamini_hochberg(torch.full((3,), NAN)).isnan().all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        permutation.benjamini_hochberg(torch.tensor([0.1, 1.2]))


def test_false_discoveries_stay_below_the_level_where_raw_p_values_do_not():
    effects = normal(200, 40, 20)
    effects[:, :10] += 1.5
    p = permutation.sign_flip_p(effects, permutations=4000)

    def false_share(kept: torch.Tensor) -> float:
        return (kept[:, 10:].sum(1) / kept.sum(1).clamp_min(1)).double().mean().item()

    assert false_share(torch.stack([permutation.benjamini_hochberg(row) for row in p]) <= 0.1) < 0.1
    assert false_share(p <= 0.1) > 0.1


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: permutation.sign_flip_p(torch.tensor([NAN])), "finite effects"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")
