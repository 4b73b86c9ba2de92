"""Every defence stands where its figures say, the attacker below it, the front by hand."""

import pytest

from circuits.errors import UserError
from probes.stats.intervals import Estimate, wilson
from viz.data import to_csv
from viz.figures.defences import FLOOR, DefencePoint, monitor_roc, pareto, protection_against_harm


def nats(value):
    return Estimate(value, 0.5 * value, 2 * value, 10)


POINTS = [
    DefencePoint("projection", wilson(1, 40), nats(0.01), wilson(30, 40), "costs little"),
    DefencePoint("monitor", wilson(2, 40), nats(0.0)),
    DefencePoint("<b>bad</b>", wilson(38, 40), nats(2.0), wilson(40, 40)),
]


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_a_defence_stands_at_its_drift_and_at_what_it_protects():
    figure = protection_against_harm(POINTS, 0.05, 0.1)
    dots = trace(figure, "as fitted")
    assert list(dots.x) == [0.01, FLOOR, 2.0]  # none on a logarithmic axis is drawn at its floor
    assert list(dots.y) == pytest.approx([97.5, 95, 5])
    low = wilson(1, 40)
    assert dots.error_y.array[0] == pytest.approx(100 * (low.value - low.low))
    assert dots.error_y.arrayminus[0] == pytest.approx(100 * (low.high - low.value))
    assert "costs little" in dots.customdata[0]
    assert dots.text[2] == "&lt;b&gt;bad&lt;/b&gt;"


def test_an_attacker_stands_at_the_same_drift_and_only_where_there_was_one():
    figure = protection_against_harm(POINTS, 0.05, 0.1)
    hollow = trace(figure, "after an adaptive attacker")
    assert list(hollow.x) == [0.01, 2.0]
    assert list(hollow.y) == pytest.approx([25, 0])
    table = to_csv(figure).splitlines()
    assert table[2].startswith("monitor,0.05,")
    assert table[2].endswith(",,,")


def test_the_front_is_what_nothing_beats_in_both():
    points = [(0.1, 50.0), (0.01, 40.0), (0.1, 90.0), (1.0, 80.0), (2.0, 95.0)]
    assert pareto(points) == [(0.01, 40.0), (0.1, 90.0), (2.0, 95.0)]
    for x, y in points:
        assert any(a <= x and b >= y for a, b in pareto(points))
    front = trace(protection_against_harm(POINTS, 0.05, 0.1), "front")
    assert list(front.x) == [FLOOR, 0.01]


def test_the_threshold_stands_on_the_curve():
    curve = [(0.0, 0.0), (0.0, 0.6), (0.02, 0.9), (1.0, 1.0)]
    figure = monitor_roc(curve, wilson(9, 10), 0.02)
    assert list(trace(figure, "threshold").x) == [2.0]
    assert list(trace(figure, "threshold").y) == [90.0]
    assert list(trace(figure, "monitor").y) == pytest.approx([0, 60, 90, 100])
    assert "AUROC 0.900" in figure.layout.title.subtitle.text


def test_two_defences_of_one_name_and_a_curve_of_one_point_are_errors():
    with pytest.raises(UserError, match="different names"):
        protection_against_harm([POINTS[0], POINTS[0]], 0.05, 0.1)
    with pytest.raises(UserError, match="two points"):
        monitor_roc([(0.0, 0.0)], wilson(9, 10), 0.02)
