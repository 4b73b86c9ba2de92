"""Held-out accuracy against the shuffled-label control: apart with a signal, together without."""

import pytest
from samples import alternating, normal, planted

from probes.evaluation import evaluate
from probes.linear import ESTIMATORS, lda

NAMES = sorted(ESTIMATORS)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_labels_fall_to_chance_while_true_ones_do_not(name):
    x, labels, _ = planted(200, 30, size=3.0, sites=6)
    half = slice(0, 100), slice(100, 200)
    split = (x[:, half[0]], labels[half[0]], x[:, half[1]], labels[half[1]])
    report = evaluate(ESTIMATORS[name], *split, shuffles=12)
    assert (report.estimator, report.n_train, report.n_test) == (name, 100, 100)
    assert ((report.null_accuracy - 0.5).abs() < 0.12).all()
    assert abs(report.null_accuracy.mean().item() - 0.5) < 0.06
    assert (report.accuracy > report.null_high).all()
    assert (report.selectivity > 0.25).all()
    assert (report.auroc > 0.9).all()
    assert (report.accuracy_low < report.accuracy).all()
    assert (report.accuracy <= report.accuracy_high).all()
    noise = evaluate(ESTIMATORS[name], normal(6, 100, 30), *split[1:], shuffles=4)
    assert noise.selectivity.mean().abs() < 0.2
    once, again = (evaluate(ESTIMATORS[name], *split, shuffles=2) for _ in range(2))
    assert (once.null_high == again.null_high).all()


X, Y = normal(2, 6, 3), alternating(6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: evaluate(lda, X, Y, X, Y, shuffles=0), "shuffle"),
        (lambda: evaluate(lda, X, Y, X, Y | True), "both classes"),
        (lambda: evaluate(lda, X, Y | True, X, Y), "both classes"),
    ],
)
def test_wrong_settings_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
