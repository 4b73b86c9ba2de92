"""Scorecards: the same out of their files, told apart only where intervals say so."""

import json

import pytest

from circuits.errors import UserError
from experiments.evaluate.metrics import Absent, metric
from experiments.evaluate.profiles import Profile, Threshold
from experiments.evaluate.rules import judge
from experiments.evaluate.scorecard import (
    SCHEMA,
    SHAPE,
    Scorecard,
    differences,
    read_scorecard,
    scorecard_json,
)
from probes.stats.intervals import newcombe, wilson

PROFILE = Profile("p", "access", "", (Threshold("success", "at least", 0.9),))


def card(success, false, n=100):
    metrics = (
        metric("success", wilson(success, n), wilson(0, n)),
        metric("false_activation", wilson(false, n)),
    )
    absent = (Absent("hollow", "the behaviour is its text"),)
    verdict = judge([*metrics, *absent], PROFILE)
    return Scorecard("mine", "access", n, {"mapping_sha256": "ab"}, metrics, absent, (verdict,))


def test_a_card_is_the_same_out_of_its_file_and_out_of_its_directory(tmp_path):
    one = card(95, 3)
    (tmp_path / "scorecard.json").write_text(json.dumps(scorecard_json(one)))
    assert read_scorecard(tmp_path) == one
    assert read_scorecard(tmp_path / "scorecard.json") == one


def test_the_json_has_every_field_that_the_published_shape_requires():
    data = scorecard_json(card(95, 3))
    assert data["schema"] == SCHEMA
    assert_shaped(data, SHAPE)
    for name in SHAPE["required"]:
        with pytest.raises(AssertionError):
            assert_shaped({k: v for k, v in data.items() if k != name}, SHAPE)


def assert_shaped(value, shape):
    """The part of JSON Schema that the shape uses."""
    kinds = {
        "object": dict,
        "array": list | tuple,
        "string": str,
        "number": int | float,
        "integer": int,
        "boolean": bool,
        "null": type(None),
    }
    if "anyOf" in shape:
        assert any(shaped(value, s) for s in shape["anyOf"])
    if "type" in shape:
        assert isinstance(value, kinds[shape["type"]]), (value, shape)
    assert "const" not in shape or value == shape["const"]
    assert "enum" not in shape or value in shape["enum"]
    assert value is None or "minimum" not in shape or value >= shape["minimum"]
    for name in shape.get("required", ()):
        assert name in value, name
    for name, part in shape.get("properties", {}).items():
        assert_shaped(value[name], part)
    for each in value if "items" in shape else ():
        assert_shaped(each, shape["items"])


def shaped(value, shape):
    try:
        assert_shaped(value, shape)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "change", [{"schema": "gatescope.scorecard/0"}, {"metrics": [{"name": 1}]}, {"verdicts": None}]
)
def test_another_schema_or_a_broken_card_is_one_clear_line(tmp_path, change):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({**scorecard_json(card(95, 3)), **change}))
    with pytest.raises(UserError, match="expected a") as told:
        read_scorecard(path)
    assert "\n" not in str(told.value)


def test_a_change_is_better_or_worse_by_its_metrics_own_way_and_only_beyond_its_interval():
    found = {d.metric: d for d in differences(card(95, 3), card(60, 40))}
    assert found["success"].better == "worse"
    assert found["false_activation"].better == "worse"
    assert {d.better for d in differences(card(60, 40), card(95, 3))} == {"better"}
    assert {d.better for d in differences(card(95, 3), card(94, 4))} == {"not told apart"}
    change = found["success"].change
    expected = newcombe(wilson(60, 100), wilson(95, 100))
    assert change is not None
    assert (change.value, change.low) == pytest.approx((-0.35, expected.low))


def test_a_metric_that_one_card_lacks_has_no_change():
    full = card(95, 3)
    short = Scorecard("b", "access", 100, {}, full.metrics[:1], (), full.verdicts)
    rows = differences(short, full)
    assert [d.metric for d in rows] == ["success", "false_activation"]
    assert rows[1].change is None
    assert rows[1].better == "measured in one only"
