"""Both regressions against solutions found another way."""

import math

import pytest
import torch
from samples import normal
from scipy.optimize import minimize

from probes.brittleness.learners import Logistic, Ridge, with_one


def test_ridge_without_a_penalty_is_least_squares():
    x, y = normal(30, 5) + 2, normal(30, 3, seed=1)
    theta = Ridge((1e-13,)).fit(x, y)[0]
    torch.testing.assert_close(theta, torch.linalg.lstsq(with_one(x), y).solution)
    shrunk = Ridge((1.0,)).fit(x, y)[0]
    assert (shrunk - theta).abs().max() > 0.01


def test_ridge_agrees_with_least_squares_on_rows_added_for_the_penalty():
    x, y, penalty = normal(20, 40), normal(20, 2, seed=1), 0.3  # more features than rows
    x, y = x - x.mean(0), y - y.mean(0)  # the intercept is then 0
    added = math.sqrt(penalty * 20) * torch.eye(40, dtype=torch.float64)
    rows, right = torch.cat([x, added]), torch.cat([y, torch.zeros(40, 2)])
    theta = Ridge((penalty,)).fit(x, y)[0]
    torch.testing.assert_close(theta[:-1], torch.linalg.lstsq(rows, right).solution)
    assert theta[-1].abs().max() < 1e-12


def test_an_endless_penalty_leaves_the_mean():
    x, y = normal(20, 3), normal(20, 1, seed=1) + 4
    theta = Ridge((1e12,)).fit(x, y)[0, :, 0]
    torch.testing.assert_close(theta[-1], y.mean())
    assert theta[:-1].abs().max() < 1e-10


@pytest.mark.parametrize("learner", [Ridge((1.0, 0.01)), Logistic((1.0, 0.01))])
def test_a_weight_of_two_is_the_row_twice(learner):
    x, y = normal(25, 4), (normal(25, 2, seed=1) > 0).double()
    times = torch.randint(0, 4, (25, 2), generator=torch.Generator().manual_seed(2))
    weighted = learner.fit(x, y, times.double())
    for t in range(2):
        index = torch.arange(25).repeat_interleave(times[:, t])
        torch.testing.assert_close(
            weighted[..., t], learner.fit(x[index], y[index, t : t + 1])[..., 0]
        )
    assert (weighted - learner.fit(x, y)).abs().max() > 0.01


def test_logistic_regression_finds_the_optimum_worked_out_by_hand():
    # x = 1 or -1, y agrees with its sign in 3 of 4: at w the mean slope is s(w) - 3/4 + penalty w,
    # and s(ln 2) = 2/3.
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(4, 1)
    y = (x > 0).double()
    y[:2] = 1 - y[:2]
    theta = Logistic((1 / (12 * math.log(2)), 1e-9)).fit(x, y)
    assert theta[0, :, 0].tolist() == pytest.approx([math.log(2), 0.0], abs=1e-6)
    assert theta[1, :, 0].tolist() == pytest.approx([math.log(3), 0.0], abs=1e-6)


def test_logistic_regression_agrees_with_a_general_optimiser():
    x, y = normal(40, 3), (normal(40, 1, seed=1) > 0.3).double()

    def loss(theta):
        score = with_one(x) @ torch.tensor(theta)
        plain = torch.nn.functional.softplus(score) - y[:, 0] * score
        return float(plain.mean()) + 0.05 * float((theta[:-1] ** 2).sum()) / 2

    best = minimize(loss, [0.0] * 4, tol=1e-12).x
    found = Logistic((0.05,)).fit(x, y)[0, :, 0].tolist()
    assert found == pytest.approx(list(best), abs=1e-4)


def test_classes_that_a_line_separates_still_have_an_optimum():
    x = normal(30, 2)
    y = (x[:, :1] > 0).double()
    theta = Logistic((1e-3,)).fit(x, y)[0]
    rows = with_one(x)
    slope = rows.T @ (torch.sigmoid(rows @ theta) - y) / 30
    slope[:-1] += 1e-3 * theta[:-1]
    assert slope.abs().max() < 1e-4
    assert theta[0] > 3


def test_columns_are_fitted_alike_alone_and_together(monkeypatch):
    x, y = normal(25, 4), (normal(25, 7, seed=1) > 0).double()
    together = Logistic().fit(x, y)
    monkeypatch.setattr("probes.brittleness.learners.CHUNK", 500)  # few columns at a time
    torch.testing.assert_close(Logistic().fit(x, y), together, atol=1e-4, rtol=1e-4)
    alone = Logistic().fit(x, y[:, 3:4])
    torch.testing.assert_close(alone[..., 0], together[..., 3], atol=1e-4, rtol=1e-4)


def test_a_training_part_with_one_outcome_still_has_a_fit():
    x = normal(30, 2)
    theta = Logistic().fit(x, torch.cat([torch.zeros(30, 1), torch.ones(30, 1)], 1).double())
    scores = with_one(x) @ theta
    assert scores[:, :, 0].max() < -5
    assert scores[:, :, 1].min() > 5
    assert theta.isfinite().all()
