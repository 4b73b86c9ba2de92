"""Crossings, their positions and widths, counted by hand."""

import pytest
import torch

from circuits.errors import UserError
from probes.geometry.crossings import crossings


def test_crossings_are_counted_by_hand():
    p = torch.tensor(
        [
            [0.0, 0.0, 0.0, 1.0, 1.0],  # once, at 2.5 of 4 steps; 0.8 of a step wide
            [0.0, 0.25, 0.5, 0.75, 1.0],  # once, at 2 of 4; 0.8 of the way wide
            [0.0, 1.0, 0.0, 1.0, 1.0],  # three times, first at 0.5
            [0.1, 0.2, 0.1, 0.2, 0.1],  # never
            [0.9, 0.8, 0.7, 0.1, 0.0],  # once, falling: no rise
        ]
    )
    found = crossings(p)
    assert found.count.value == pytest.approx((1 + 1 + 3 + 0 + 1) / 5)
    assert (found.single.value, found.single.n) == (pytest.approx(3 / 5), 5)
    assert found.position is not None
    assert found.width is not None
    falling = (2 + 0.2 / 0.6) / 4
    assert found.position.value == pytest.approx((0.625 + 0.5 + 0.125 + falling) / 4)
    # The third last leaves 10 % before it first reaches 90 % on its first step.
    assert found.width.value == pytest.approx((0.2 + 0.8 + 0.2) / 3)
    assert (found.width.n, found.spacing) == (3, 0.25)


def test_without_a_crossing_there_is_no_position_and_no_width():
    found = crossings(torch.full((4, 5), 0.2))
    assert (found.count.value, found.position, found.width) == (0, None, None)


FLAT = torch.full((3, 4), 0.2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: crossings(FLAT[:, :2]), "steps >= 3"),
        (lambda: crossings(FLAT[:1]), "pairs >= 2"),
        (lambda: crossings(FLAT + 1), "not logits"),
        (lambda: crossings(FLAT * torch.nan), "not logits"),
    ],
)
def test_what_is_no_curve_is_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
