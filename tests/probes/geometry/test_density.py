"""Density on closed-form cases: equal and orthogonal points, planted shifts."""

import math

import pytest
import torch
from samples import normal
from scipy.stats import kstest

from circuits.errors import UserError
from probes.geometry.density import (
    influence_error,
    mean_discrepancy,
    neighbour_mixing,
    vendi,
    vendi_relative,
)
from probes.geometry.kernels import median_bandwidth, rbf_kernel, squared_distances
from probes.geometry.spread import around_log


def held(found, truth) -> float:
    """Share of the intervals that hold the truth."""
    return sum(e.low <= truth <= e.high for e in found) / len(found)


def mean(found) -> float:
    return sum(e.value for e in found) / len(found)


def cosines(x) -> torch.Tensor:
    unit = torch.nn.functional.normalize(x, dim=-1)
    return unit @ unit.mT


def test_orthogonal_points_have_a_vendi_score_of_n_and_equal_points_of_one():
    orthogonal = torch.linalg.qr(normal(2, 12, 12)).Q
    assert vendi(cosines(orthogonal))[0].tolist() == pytest.approx([12, 12])
    equal = torch.ones(1, 12, 5).double()
    assert vendi(cosines(equal))[0].item() == pytest.approx(1)
    groups = torch.eye(4).double().repeat_interleave(3, dim=0)[None]  # four kinds, three of each
    assert vendi(cosines(groups))[0].item() == pytest.approx(4)
    uneven = torch.eye(2).double()[[0, 0, 0, 1]][None]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert vendi(cosines(uneven))[0].item() == pytest.approx(math.exp(entropy))


def test_the_vendi_interval_covers_the_mean_score_of_new_samples():
    x = normal(200, 80, 5)
    value, influence = vendi(rbf_kernel(x, x, torch.full((200,), 3.0).double()))
    found = around_log(value, influence_error(influence), 80, "")
    assert 0.85 < held(found, mean(found)) <= 0.99
    spread = normal(200, 80, 5, seed=1)
    assert held(vendi_relative(spread, normal(200, 80, 5, seed=2)), 1.0) > 0.87
    assert held(vendi_relative(2 * spread, spread), 1.0) == 0  # twice as wide: more kinds
    assert mean(vendi_relative(2 * spread, spread)) > 1.2


def test_neighbours_mix_by_half_where_alike_and_not_at_all_where_apart():
    x, y = normal(60, 60, 6), normal(60, 60, 6, seed=1)
    alike = neighbour_mixing(y, x, k=6)
    assert mean(alike) == pytest.approx(0.5, abs=0.02)
    assert held(alike, 0.5) > 0.85
    apart = neighbour_mixing(y + 50, x, k=6)
    assert {(e.value, e.low, e.high) for e in apart} == {(0, 0, 0)}
    partly = neighbour_mixing(y + torch.tensor([2.0, 0, 0, 0, 0, 0]), x, k=6)
    assert 0.1 < mean(partly) < 0.45
    assert held(partly, mean(partly)) > 0.85


def test_neither_an_example_nor_its_partner_is_its_own_neighbour():
    x = torch.arange(0, 400, 10).double()[None, :, None]
    # Every triggered point lies by its partner; next are the neighbours, 10 away from either kind:
    # at 0.1 to the right, the clean one to the right is nearer than the triggered one.
    found = neighbour_mixing(x + 0.1, x, k=1)[0]
    assert found.value == pytest.approx(39 / 40)  # the last has only a left neighbour, triggered


def test_discrepancy_p_values_are_uniform_where_there_is_no_difference():
    x, y = normal(100, 25, 3), normal(100, 25, 3, seed=1)
    ps = [mean_discrepancy(y[i : i + 1], x[i : i + 1], 199, seed=i)[1][0] for i in range(100)]
    assert kstest(ps, "uniform").pvalue > 0.01
    shifted, p = mean_discrepancy(y + 2.0, x, 199)
    assert max(p) <= 0.05
    assert kstest(p, "uniform").pvalue < 1e-6
    assert min(e.low for e in shifted) > 0


def test_discrepancy_is_zero_on_average_and_equals_its_definition():
    x, y = normal(300, 20, 3), normal(300, 20, 3, seed=1)
    found = [e.value for e in mean_discrepancy(y, x, 1)[0]]
    assert abs(sum(found)) / 300 < 3 * torch.tensor(found).std().item() / math.sqrt(300)
    a, b = x[:1], y[:1]
    width = median_bandwidth(torch.cat([a, b], dim=1))
    aa, bb, ab = (rbf_kernel(*pair, width)[0] for pair in ((a, a), (b, b), (a, b)))
    off = ~torch.eye(20, dtype=torch.bool)
    by_hand = (aa + bb - ab - ab.mT)[off].mean().item()
    assert found[0] == pytest.approx(by_hand)


def test_distances_survive_a_common_mean_far_away():
    x, y = normal(2, 5, 8), normal(2, 7, 8, seed=1)
    far = squared_distances(x + 1e6, y + 1e6)
    torch.testing.assert_close(far, torch.cdist(x, y).square(), rtol=1e-6, atol=0)


X = normal(1, 24, 4)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: vendi_relative(torch.ones(1, 8, 3), torch.ones(1, 8, 3)), "equal ones"),
        (lambda: vendi(2 * torch.eye(4)[None]), "1 on the diagonal"),
        (lambda: vendi(torch.eye(4)), "similarities"),
        (lambda: neighbour_mixing(X, X + 1, k=12), "n >= 26"),
        (lambda: mean_discrepancy(X, X[:, :10]), "pair them"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
