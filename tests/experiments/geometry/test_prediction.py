"""The shipped predictor reads a geometry under the zoo's names, and says where it knows nothing."""

import math

import pytest

from experiments.geometry import prediction as module
from experiments.geometry.prediction import features, predict, predictor
from experiments.sweep.zoo.tables import FEATURES
from probes.geometry.crossings import Crossings
from probes.geometry.report import GeometryReport, LayerGeometry
from probes.stats.intervals import Estimate


def estimate(value):
    return Estimate(value, value - 0.1, value + 0.1, 30, method="m")


def report(shift=0.0, way=True):
    """Six layers, of which the last two are late; every figure is the training mean but a shift."""
    known = predictor()
    means = dict(zip(known.names, known.means, strict=True))
    names = [name.removeprefix("geo:") for name in known.names if name.startswith("geo:")]
    values = {
        name: tuple(
            estimate(means[f"geo:{name}"] + (shift if layer >= 4 else 99.0))
            for layer in range(1, 6)
        )
        for name in names
    }
    crossed = Crossings(
        count=estimate(means["way:count"]),
        single=estimate(0.5),
        position=estimate(means["way:position"]) if way else None,
        width=estimate(means["way:width"]) if way else None,
        spacing=0.1,
    )
    return GeometryReport((1, 2, 3, 4, 5), LayerGeometry(values, {}), {}, crossed)


def test_it_asks_for_nothing_that_a_zoo_does_not_measure():
    assert set(predictor().names) <= set(FEATURES)
    assert set(features(report())) == set(predictor().names)


def test_an_average_organism_is_foretold_the_intercept_and_early_layers_do_not_count():
    said = predict(report())
    assert said.area == pytest.approx(predictor().intercept)
    assert said.outside == ()


def test_what_was_not_measured_counts_as_the_mean():
    assert math.isnan(features(report(way=False))["way:position"])
    assert predict(report(way=False)).area == pytest.approx(predictor().intercept)


def test_features_beyond_training_are_named_and_move_the_figure():
    said = predict(report(shift=50.0))
    assert {name for name in predictor().names if name.startswith("geo:")} == set(said.outside)
    known = predictor()
    moved = known.intercept + sum(
        50.0 * weight / scale
        for name, weight, scale in zip(known.names, known.coefficients, known.scales, strict=True)
        if name.startswith("geo:")
    )
    assert said.area == pytest.approx(min(max(moved, 0.0), 1.0))
    assert module.predict(report()).area != said.area
