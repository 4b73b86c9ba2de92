"""Margins of planted boundaries, exact and held out."""

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from probes.geometry.margins import held_out_scores, margins, within_class_spread
from probes.linear import LinearProbes, lda


def average(found) -> float:
    return sum(e.value for e in found) / len(found)


def test_the_margin_of_a_planted_boundary_is_exact():
    along = torch.tensor([-3.0, -1.0, 2.0, 5.0, -4.0, 0.5]).double().view(1, 3, 2)
    labels = along[0] > 0
    normal_to = torch.tensor([[0.6, 0.8]]).double()
    x = along[..., None] * normal_to + 7 * torch.tensor([0.8, -0.6]).double()
    probes = LinearProbes(normal_to, torch.zeros(1).double(), "planted")
    scores = probes.scores(x.flatten(1, 2)).unflatten(1, (3, 2))
    found = margins(scores, labels, torch.tensor([2.0]).double())
    assert found.lowest == pytest.approx((0.25,))
    assert found.median[0].value == pytest.approx((2 + 3) / 4)
    assert found.low[0].value == pytest.approx((0.5 + 0.25 * 0.5) / 2)  # a quarter on the way
    wrong = margins(scores, labels ^ torch.eye(3, 2).bool(), torch.tensor([2.0]).double())
    assert wrong.lowest[0] == pytest.approx(-2.5)


def test_the_spread_is_the_distance_from_the_classes_own_means():
    x = torch.tensor([[[[0.0, 3.0], [10.0, 1.0]], [[0.0, 5.0], [10.0, 3.0]]]]).double()
    labels = torch.tensor([[False, True], [False, True]])
    assert within_class_spread(x, labels).tolist() == pytest.approx([1.0])
    assert within_class_spread(x, labels ^ torch.tensor([[True], [False]])).item() > 4


def test_held_out_margins_of_a_planted_shift_are_half_of_it_and_of_noise_about_zero():
    n, d, size = 100, 8, 12.0
    x = normal(5, n, 2, d)
    x[:, :, 1, 0] += size
    labels = torch.tensor([False, True]).expand(n, 2)
    spread = within_class_spread(x, labels)
    assert spread.tolist() == pytest.approx([d**0.5] * 5, rel=0.06)
    found = margins(held_out_scores(lda, x, labels), labels, spread)
    for estimate in found.median:
        assert estimate.value == pytest.approx(size / 2 / d**0.5, rel=0.1)
        assert estimate.low <= estimate.value <= estimate.high
    wide = normal(20, n, 2, 150)  # more dimensions than half the examples, and nothing to find
    blank = margins(held_out_scores(lda, wide, labels), labels, within_class_spread(wide, labels))
    assert abs(average(blank.median)) < 0.01
    inside = lda(wide.flatten(1, 2), labels.flatten()).scores(wide.flatten(1, 2))
    fitted = margins(inside.unflatten(1, (n, 2)), labels, within_class_spread(wide, labels))
    assert average(fitted.median) > 0.02  # what not holding out would show


X = normal(1, 4, 2, 3)
LABELS = torch.tensor([False, True]).expand(4, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: held_out_scores(lda, X, LABELS, folds=1), "folds: expected"),
        (lambda: held_out_scores(lda, X, LABELS[:3]), "one label per example"),
        (lambda: within_class_spread(X, LABELS & False), "both classes"),
        (lambda: margins(X[..., 0], LABELS[:3], torch.ones(1)), "reshape"),
        (lambda: margins(X[..., 0], LABELS, torch.zeros(1)), "spread above 0"),
    ],
)
def test_scores_that_do_not_fit_are_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
