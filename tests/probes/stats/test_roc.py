"""A curve of four scores by hand; its area is the AUROC; a threshold keeps its promise."""

import numpy as np
import pytest
import torch
from samples import normal
from sklearn.metrics import roc_auc_score

from circuits.errors import UserError
from probes.stats.roc import auroc, auroc_values, roc, threshold


def drawn(n, seed, shift=0.0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) + shift


def test_a_curve_of_four_scores_goes_by_hand():
    found = roc(torch.tensor([1.0, 3.0, 2.0, 3.0]), torch.tensor([False, True, True, False]))
    assert found.alarms.tolist() == [
        0,
        0.5,
        0.5,
        1,
    ]  # the two scores of 3 are told apart by nothing
    assert found.detected.tolist() == [0, 0.5, 1, 1]
    assert found.thresholds.tolist() == [3, 2, 1, -torch.inf]


def test_every_threshold_flags_the_shares_that_stand_beside_it():
    scores = torch.cat([drawn(30, 1), drawn(20, 2, 1.0)]).mul(4).round()  # with ties
    hot = torch.arange(50) >= 30
    found = roc(scores, hot)
    for level, alarms, detected in zip(found.thresholds, found.alarms, found.detected, strict=True):
        assert float((scores[~hot] > level).double().mean()) == pytest.approx(float(alarms))
        assert float((scores[hot] > level).double().mean()) == pytest.approx(float(detected))


def test_the_area_under_the_curve_is_the_auroc_ties_and_all():
    scores = torch.cat([drawn(40, 3), drawn(25, 4, 0.8)]).mul(3).round()
    hot = torch.arange(65) >= 40
    found = roc(scores, hot)
    area = torch.trapezoid(found.detected, found.alarms)
    assert float(area) == pytest.approx(auroc(scores, hot).value)
    turned = roc(-scores, hot)
    assert float(torch.trapezoid(turned.detected, turned.alarms)) == pytest.approx(1 - float(area))


@pytest.mark.parametrize("alarms", [0.0, 0.01, 0.1, 0.37])
def test_no_lower_threshold_among_the_scores_keeps_the_share_of_alarms(alarms):
    clean = drawn(200, 5).mul(10).round()
    level = threshold(clean, alarms)
    assert float((clean > level).double().mean()) <= alarms
    lower = clean[clean < level].max()
    assert float((clean > lower).double().mean()) > alarms


@pytest.mark.parametrize("hot", [[True, True], [False, False]])
def test_one_class_has_no_curve(hot):
    with pytest.raises(UserError, match="two classes"):
        roc(torch.tensor([1.0, 2.0]), torch.tensor(hot))


def test_a_share_of_one_or_no_scores_give_no_threshold():
    for clean, alarms in (
        (torch.zeros(0), 0.1),
        (torch.ones(3), 1.0),
        (torch.tensor([1.0, torch.nan]), 0.1),
    ):
        with pytest.raises(UserError, match="threshold"):
            threshold(clean, alarms)


def test_auroc_agrees_with_sklearn_under_ties_and_flips_with_the_labels():
    scores = normal(6, 40).round()
    labels = normal(40, seed=1) > 0.3
    values = auroc_values(scores, labels)
    expected = [roc_auc_score(labels.numpy(), row) for row in scores.numpy()]
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(auroc_values(scores, ~labels), 1 - values)
    assert auroc(scores[0], labels).value == pytest.approx(expected[0])


def test_auroc_interval_covers_and_is_not_a_point_at_full_separation():
    labels = torch.arange(60) < 25
    truth = 0.5 * (1 + torch.erf(torch.tensor(1.2 / 2))).item()  # Phi(1.2 / sqrt 2)
    draws = [auroc(row + 1.2 * labels, labels) for row in normal(400, 60)]
    covered = np.mean([draw.low <= truth <= draw.high for draw in draws])
    assert 0.91 <= covered <= 0.985
    assert np.mean([draw.low <= 0.5 <= draw.high for draw in draws]) < 0.2
    perfect = auroc(labels.double(), labels)
    assert perfect.high == 1
    assert 0.8 < perfect.low < 0.9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: auroc_values(torch.ones(1, 3), torch.ones(3).bool()), "both classes"),
        (lambda: auroc_values(torch.ones(1, 3), torch.ones(3)), "bool labels"),
    ],
)
def test_wrong_input_is_refused_in_one_helpful_line(call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected")
