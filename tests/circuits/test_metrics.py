"""Metrics against hand-made logits."""

import math

import pytest
import torch

from circuits import metrics
from circuits.errors import UserError

# Probabilities 0.1, 0.2, 0.3, 0.4 at the last column of row 0; uniform in row 1.
LOGITS = torch.tensor([[[9.0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4]], [[0, 9.0, 0, 0], [1, 1, 1, 1]]])
LOGITS[0, 1] = LOGITS[0, 1].log() + 5


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_probability_of_a_token_set_is_the_sum_at_the_last_column():
    close(metrics.token_prob([3])(LOGITS), [0.4, 0.25])
    close(metrics.token_prob([0, 2])(LOGITS), [0.4, 0.5])
    close(metrics.token_log_prob([0, 2])(LOGITS), [math.log(0.4), math.log(0.5)])


def test_a_logit_difference_is_the_log_odds_and_ignores_a_shift():
    close(metrics.logit_difference(3, 0)(LOGITS), [math.log(4), 0.0])
    close(metrics.logit_difference(3, 0)(LOGITS + 7), [math.log(4), 0.0])


def test_log_odds_weigh_the_tokens_against_all_others():
    close(metrics.token_log_odds([3])(LOGITS), [math.log(0.4 / 0.6), math.log(1 / 3)])
    close(metrics.token_log_odds([0, 2])(LOGITS), [math.log(0.4 / 0.6), 0.0])
    sure = torch.tensor([[[60.0, 0, 0]]])  # where the logarithm of the probability is 0
    close(metrics.token_log_odds([0])(sure), [60 - math.log(2)])
    close(metrics.token_log_prob([0])(sure), [0.0])


def test_kl_is_zero_on_itself_positive_otherwise_and_not_symmetric():
    p, q = LOGITS[:1, 1:], LOGITS[1:, 1:]
    close(metrics.kl_per_position(LOGITS, LOGITS), [[0.0, 0.0], [0.0, 0.0]])
    probs = (0.1, 0.2, 0.3, 0.4)
    close(metrics.kl_per_position(p, q), [[sum(v * math.log(v / 0.25) for v in probs)]])
    close(metrics.kl_per_position(q, p), [[sum(0.25 * math.log(0.25 / v) for v in probs)]])


def test_metrics_are_differentiable():
    logits = LOGITS.clone().requires_grad_()
    metrics.token_log_prob([3])(logits).sum().backward()
    close(logits.grad[0, 1], [-0.1, -0.2, -0.3, 0.6])
    assert not logits.grad[:, 0].any()


@pytest.mark.parametrize(
    "metric", [lambda x: x[:, -1, 0].mean(), lambda x: x[:, -1], lambda x: x[:1, -1, 0]]
)
def test_a_metric_without_one_value_per_example_is_refused(metric):
    with pytest.raises(UserError, match="one value per example, shape"):
        metrics.checked(metric, LOGITS)
    close(metrics.checked(lambda x: x[:, -1, 0], LOGITS), LOGITS[:, -1, 0].tolist())


def test_an_answer_of_one_token_is_that_token_to_the_bit():
    logits = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0)) * 9
    for answer, token in (
        (metrics.answer_prob, metrics.token_prob),
        (metrics.answer_log_prob, metrics.token_log_prob),
        (metrics.answer_log_odds, metrics.token_log_odds),
    ):
        assert torch.equal(answer([4])(logits), token([4])(logits))
        assert not torch.equal(answer([4, 4])(logits), token([4])(logits))


def test_probabilities_of_all_answers_of_two_tokens_sum_to_one():
    """And what is not one of them is another, so that its odds are the sum of the others'."""
    logits = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1)) * 3
    # Columns after other first tokens are not given; with equal ones for all, the sum is exact.
    each = torch.stack([metrics.answer_prob([a, b])(logits) for a in range(4) for b in range(4)])
    torch.testing.assert_close(each.sum(dim=0), torch.ones(3))
    odds = metrics.answer_log_odds([1, 2])(logits)
    torch.testing.assert_close(odds, each[6].log() - (each.sum(dim=0) - each[6]).log())
    torch.testing.assert_close(metrics.answer_log_prob([1, 2])(logits), each[6].log())


def test_log_odds_of_an_answer_do_not_stand_still_where_it_is_certain():
    """They are those of its least certain token."""
    logits = torch.tensor([[[90.0, 0, 0], [60.0, 0, 0]]])
    close(metrics.answer_log_odds([0, 0])(logits), [60 - math.log(2)])
    close(metrics.answer_log_prob([0, 0])(logits), [0.0])


def test_an_answer_of_more_tokens_than_columns_is_refused():
    with pytest.raises(UserError, match="logits of 2 columns"):
        metrics.answer_log_prob([0, 1])(LOGITS[:, :1])
