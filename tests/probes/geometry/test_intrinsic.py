"""TwoNN on subspaces, a sphere and a Swiss roll; its interval by simulation."""

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.intrinsic import two_nn


def dimension(x, **options):
    return two_nn(**options).compare(x, x)[0]


def values(found) -> torch.Tensor:
    return torch.tensor([e.value for e in found])


@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_linear_subspace_has_its_own_dimension_and_not_the_spaces(d):
    x = normal(40, 150, d) @ normal(40, d, 60, seed=1)
    found = dimension(x)
    assert values(found).mean().item() == pytest.approx(d, rel=0.08)
    assert sum(e.low <= d <= e.high for e in found) >= 36
    assert all(e.high < 15 for e in found)


def test_a_sphere_and_a_swiss_roll_have_two_dimensions_in_three():
    sphere = torch.nn.functional.normalize(normal(30, 300, 3), dim=-1)
    assert values(dimension(sphere, draws=2)).mean().item() == pytest.approx(2, rel=0.08)
    turn, height = torch.rand(2, 10, 600, generator=torch.Generator().manual_seed(0)).double()
    angle = 3 * torch.pi * (1 + 2 * turn) / 2
    roll = torch.stack([angle * angle.cos(), 21 * height, angle * angle.sin()], dim=-1)
    assert values(dimension(roll, draws=2)).mean().item() == pytest.approx(2, rel=0.08)
    thick = roll + 3 * normal(10, 600, 3)  # noise that fills the space
    assert values(dimension(thick, draws=2)).mean().item() > 2.6


def test_the_interval_covers_the_mean_reading():
    found = dimension(normal(200, 100, 4))
    centre = values(found).mean().item()
    assert sum(e.low <= centre <= e.high for e in found) / 200 > 0.9


def test_the_relative_dimension_is_paired_and_sees_added_noise():
    flat = normal(10, 150, 2) @ normal(10, 2, 20, seed=1)
    own, same = two_nn().compare(3 * flat + 1, flat)
    assert [e.low for e in same] == pytest.approx([1] * 10)
    assert [e.value for e in own] == pytest.approx([e.value for e in dimension(flat)])
    _, more = two_nn().compare(flat + normal(10, 150, 20, seed=2), flat)
    assert min(e.low for e in more) > 1.5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dimension(normal(1, 10, 3)), "n >= 20"),
        (lambda: dimension(normal(1, 20, 3).repeat(1, 2, 1)), "drop the repetitions"),
        (lambda: dimension(normal(1, 30, 3), discard=1.0), "share to discard"),
        (lambda: dimension(normal(1, 30, 3), draws=1), "at least 2"),
        (lambda: two_nn().compare(normal(1, 30, 3), normal(1, 31, 3)), "pair them"),
    ],
)
def test_sets_without_a_dimension_are_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
