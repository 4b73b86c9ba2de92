"""Every record comes back from its files as it went, and from other files it does not."""

import json
import random
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import records
import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from circuits.errors import UserError
from circuits.types import Site
from experiments.runs.codec import as_json, decode, encode
from probes.stats.intervals import Estimate, wilson

TRIES = 3
KEPT = {
    "Analysis",
    "Budget",
    "Direction",
    "Estimate",
    "Evidence",
    "GeometryReport",
    "Manifest",
    "Mediation",
    "PatchGrid",
    "Prediction",
    "Retention",
    "Scorecard",
    "Trace",
    "Verification",
}


def through_files(record: Any) -> tuple[Any, dict[str, Tensor]]:
    """What is left of a record in JSON text and safetensors bytes."""
    value, tensors = encode(record)
    return json.loads(json.dumps(value, allow_nan=False)), load(save(tensors))


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """A JSON value with another leaf at a path."""
    if path:
        name, *rest = path
        parts = dict(value) if isinstance(value, dict) else list(value)
        parts[name] = changed(parts[name], tuple(rest))
        return parts
    if isinstance(value, bool) or value is None:
        return not value
    return value + "x" if isinstance(value, str) else 2 * value + 1


def noticed(kind: Any, record: Any, value: Any, tensors: dict[str, Tensor]) -> bool:
    """Whether these files are refused in one line, or give another record."""
    try:
        return not records.same(decode(kind, value, tensors), record)
    except UserError as error:
        return "\n" not in str(error)


def test_every_record_comes_back_and_a_change_is_noticed():
    rng, undrawn, kinds = random.Random(0), set(), records.record_types()
    for kind in kinds:
        for _ in range(TRIES):
            try:
                record = records.draw(kind, rng)
            except records.NoRecordError:
                undrawn.add(kind)
                break
            value, tensors = through_files(record)
            assert records.same(decode(kind, value, tensors), record), kind
            paths = list(records.leaves(value))
            if paths:
                path = rng.choice(paths)
                assert noticed(kind, record, changed(value, path), tensors), (kind, path)
            if tensors:
                name = rng.choice(sorted(tensors))
                other = {**tensors, name: torch.zeros(1, 1, 1, 1, 1)}
                less = {n: t for n, t in tensors.items() if n != name}
                assert noticed(kind, record, value, other), (kind, name)
                assert noticed(kind, record, value, less), (kind, name)
    assert {kind.__name__ for kind in kinds if kind not in undrawn} >= KEPT
    assert len(undrawn) < 15 < len(kinds) / 10  # their own rules ask for more than annotations say


@dataclass(frozen=True, eq=False)
class Reading:
    """A bit of everything."""

    site: Site
    rates: dict[str, Estimate]
    curve: Float[Tensor, "n"]
    sides: tuple[Tensor | None, ...] = ()
    way: Literal["in", "out"] = "in"
    more: Any = None


READING = Reading(Site(1, "z", "last"), {"a b": wilson(1, 3)}, torch.ones(3), (None, torch.ones(1)))


def test_tensors_lie_under_their_path_and_are_absent_from_the_json():
    value, tensors = encode([READING])
    assert set(tensors) == {"0.curve", "0.sides.1"}
    assert value[0]["sides"] == [None]
    assert "curve" not in value[0]
    assert value[0]["site"] == {"layer": 1, "stream": "z", "span": "last"}
    with pytest.raises(TypeError, match="without tensors"):
        as_json(READING)
    with pytest.raises(TypeError, match="without a dot"):
        encode({"a.b": torch.ones(1)})
    with pytest.raises(TypeError, match="give it a name"):
        encode(torch.ones(1))


def test_a_field_added_later_has_its_default_and_one_that_was_dropped_is_ignored():
    value, tensors = encode(READING)
    del value["way"]
    again = decode(Reading, {**value, "colour": "blue"}, tensors)
    assert records.same(again, READING)


def without(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: part for key, part in value.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda v, t: (without(v, "site"), t), "f.json: expected a field `site`, got none"),
        (lambda v, t: (v, without(t, "curve")), "f.json: expected a field `curve`, got none"),
        (
            lambda v, t: ({**v, "site": {**v["site"], "layer": "1"}}, t),
            "f.json, site.layer: expected `int`, got `str`",
        ),
        (lambda v, t: ({**v, "way": "up"}, t), "f.json, way: expected a value of its .*'up'"),
        (
            lambda v, t: ([v], t),
            "f.json: expected a place for the tensors curve, sides.1, got none",
        ),
        (lambda v, t: (3, {}), "f.json: expected `object`, got `int`"),
        (lambda v, t: ({**v, "curve": 3}, t), "f.json: expected 'curve' in JSON or as a tensor"),
        (
            lambda v, t: (v, {**t, "curve": torch.ones(2, 2)}),
            r"f.json, curve: expected `Float\[.*\]`, got a tensor \(2, 2\) of torch.float32",
        ),
        (
            lambda v, t: ({**v, "rates": {"a b": {**v["rates"]["a b"], "low": 2.0}}}, t),
            "f.json, rates.*: expected low <= value <= high",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_says_where_what_was_expected_and_what_came(spoil, says):
    with pytest.raises(UserError, match=says) as caught:
        decode(Reading, *spoil(*encode(READING)), where="f.json")
    assert "\n" not in str(caught.value)


def test_a_double_of_numpy_is_a_float_and_other_scalars_are_refused():
    assert as_json({"p": np.float64(0.5)}) == {"p": 0.5}
    assert type(as_json([np.float64(0.5)])[0]) is float
    for scalar in (np.float32(1), np.int64(1), np.bool_(True)):
        with pytest.raises(TypeError, match="expected what JSON has"):
            encode([scalar])


def test_two_records_in_one_place_are_not_supported():
    with pytest.raises(TypeError, match="more than one dataclass"):
        decode(Estimate | Site, as_json(wilson(1, 2)))  # pyright: ignore


@dataclass(frozen=True)
class Named:
    by: str

    def __post_init__(self) -> None:
        _ = {"a": 1}[self.by]


@pytest.mark.parametrize(
    ("kind", "value", "tensors", "says"),
    [
        (Named, {"by": "b"}, {}, r"f.json: expected a Named, got 'b' \(KeyError\)"),
        (Reading, [], {"007.curve": torch.ones(1)}, r"f.json: expected a Reading, got '7' .*Key"),
        (list[Named], [], {f"{10**30}": torch.ones(1)}, r"f.json: .*OverflowError"),
    ],
)
def test_whatever_a_record_raises_is_one_line(kind, value, tensors, says):
    with pytest.raises(UserError, match=says):
        decode(kind, value, tensors, "f.json")
    assert decode(Named, {"by": "a"}) == Named("a")
