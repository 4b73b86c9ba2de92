"""AUROC against scikit-learn and its interval against its coverage, with a control."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from probes.stats.auroc import auroc, auroc_values


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


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
