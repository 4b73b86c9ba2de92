"""The fit on everything: its own formula, its range, and what it does with what is missing."""

import json
import math

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from experiments.runs.codec import as_json
from probes.brittleness.learners import Logistic
from probes.brittleness.nested import tuned
from probes.brittleness.predictor import Predictor, fit_predictor
from probes.brittleness.table import Table

NAN = float("nan")
HAND = Predictor(
    "area", ("a", "b"), (1.0, 2.0), (2.0, 0.5), (0.2, -0.1), 0.5, (0.0, 1.0), (3.0, 4.0)
)


def table(x: torch.Tensor, y: torch.Tensor) -> Table:
    n = len(y)
    schemes = tuple(f"s{i * 3 // n}" for i in range(n))
    return Table(x, ("a", "b", "c"), y, tuple(f"o{i}" for i in range(n)), schemes)


def test_a_prediction_is_the_line_worked_out_by_hand_and_stays_an_area():
    assert HAND.predict({"a": 2.0, "b": 2.5}) == pytest.approx(0.5 + 0.2 / 2 - 0.1)
    assert HAND.predict({"a": NAN, "b": 2.5}) == pytest.approx(0.4)
    assert HAND.predict({"a": 100.0, "b": 2.0}) == 1
    assert HAND.predict({"a": -100.0, "b": 2.0}) == 0


def test_what_training_never_saw_is_named():
    assert HAND.outside({"a": 3.0, "b": 1.0}) == ()
    assert HAND.outside({"a": 3.1, "b": 1.0}) == ("a",)
    assert HAND.outside({"a": -1.0, "b": 5.0}) == ("a", "b")
    assert HAND.outside({"a": NAN, "b": 5.0}) == ("b",)
    with pytest.raises(UserError, match="got none of b"):
        HAND.outside({"a": 1.0})


def test_an_area_that_is_a_line_of_the_features_is_predicted_closely():
    x = normal(30, 3)
    x[:, 1] = 4.0  # constant
    x[5, 2] = NAN
    y = 0.5 + 0.05 * x[:, 0]
    found = fit_predictor(table(x, y), ("a", "b", "c"), "area")
    assert found.predict({"a": 1.0, "b": 4.0, "c": 0.0}) == pytest.approx(0.55, abs=0.002)
    assert found.predict({"a": -1.0, "b": 4.0, "c": 2.0}) == pytest.approx(0.45, abs=0.002)
    assert (found.lows[1], found.highs[1], found.coefficients[1]) == (4, 4, 0)
    assert found.highs[2] == x[:, 2].nan_to_num(-9).max()
    assert json.dumps(as_json(found), allow_nan=False)


def test_the_probability_of_a_loss_is_that_of_the_logistic_fit():
    x = normal(60, 3)
    y = (x[:, 0] + 0.5 * normal(60, seed=1) > 0).double()
    found = fit_predictor(table(x, y), ("a", "c"), "lost")
    fit = tuned(Logistic(), x[:, [0, 2]], y[:, None], torch.arange(60) * 3 // 60)
    expected = torch.sigmoid(fit.scores(x[:, [0, 2]]))[:, 0]
    for row, chance in zip(x.tolist(), expected.tolist(), strict=True):
        assert found.predict({"a": row[0], "c": row[2]}) == pytest.approx(chance)
    assert found.predict({"a": 3.0, "c": 0.0}) > 0.9 > 0.1 > found.predict({"a": -3.0, "c": 0.0})
    far = found.predict({"a": 1e6, "c": 0.0})
    assert math.isclose(far, 1.0)


def test_a_feature_that_was_never_measured_is_named():
    x = normal(30, 3)
    x[:, 2] = NAN
    with pytest.raises(UserError, match="only NaN in c; leave"):
        fit_predictor(table(x, normal(30, seed=1)), ("a", "c"), "area")
