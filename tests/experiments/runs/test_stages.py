"""A stage is made once; a stop in the middle leaves none; older layouts are read, never guessed."""

import json
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.types import Direction, PatchGrid, Site
from experiments.runs import files, older
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Stages
from probes.stats.intervals import Estimate, wilson


@dataclass(frozen=True, eq=False)
class Curve:
    """A record with tensors and numbers."""

    rate: Estimate
    values: Float[Tensor, "layers n"]
    sides: dict[str, Tensor]


CURVE = Curve(
    wilson(3, 7),
    torch.arange(6.0).reshape(2, 3),
    {"triggered": torch.ones(2), "clean": -torch.ones(1)},
)
GRID = PatchGrid("noising", "z", "gap", ("a",), torch.ones(1, 1, 2), torch.zeros(2), torch.ones(2))


def never():
    raise AssertionError("made twice")


def stop(*_args):
    raise KeyboardInterrupt


def same(a: Curve, b: Curve) -> bool:
    """The tensors to the bit, everything else equal."""
    pairs = [(a.values, b.values), *((a.sides[k], b.sides[k]) for k in CURVE.sides)]
    return a.rate == b.rate and all(torch.equal(x, y) and x.dtype == y.dtype for x, y in pairs)


def test_a_stage_is_made_once_and_comes_back_as_it_went(tmp_path):
    said = []
    stages = Stages(tmp_path, lambda *what: said.append(what))
    assert not stages.has("a curve")
    first = stages.keep("a curve", Curve, lambda: CURVE)
    assert stages.has("a curve")
    again = Stages(tmp_path).keep("a curve", Curve, never)
    assert same(first, CURVE)
    assert same(again, CURVE)
    assert not same(again, replace(CURVE, values=CURVE.values + 1))
    assert list(first.sides) == list(again.sides)
    assert said == [("a curve", 0, 1), ("a curve", 1, 1)]
    found = json.loads((tmp_path / "stages" / "a curve.json").read_text())
    assert found == {"rate": asdict(CURVE.rate), "sides": {}}
    assert set(files.read_tensors(tmp_path / "stages" / "a curve.safetensors")) == {
        "values",
        "sides.clean",
        "sides.triggered",
    }


def test_the_kind_of_a_stage_may_be_a_tuple_or_absent(tmp_path):
    kinds = {
        "rates": (tuple[Estimate, ...], (wilson(1, 2), wilson(2, 2))),
        "none": (Curve | None, None),
    }
    for name, (kind, record) in kinds.items():
        for make in (lambda record=record: record, never):
            assert Stages(tmp_path).keep(name, kind, make) == record


def test_a_patch_grid_is_kept_in_its_own_format(tmp_path):
    for make in (lambda: GRID, never):
        found = Stages(tmp_path).keep("heads", PatchGrid, make)
        assert torch.equal(found.values, GRID.values)
    assert torch.equal(Ledger(tmp_path).grid("stages/heads").source, GRID.source)


@pytest.mark.parametrize("record", [CURVE, GRID])
def test_a_stop_before_the_json_leaves_no_stage(tmp_path, monkeypatch, record):
    real = files.write_atomically

    def stopped(path, content):
        return stop() if path.name == "x.json" else real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_atomically", stopped)
        with pytest.raises(KeyboardInterrupt):
            Stages(tmp_path).keep("x", type(record), lambda: record)
    assert (tmp_path / "stages" / "x.safetensors").is_file()
    stages = Stages(tmp_path)
    assert not stages.has("x")
    assert stages.keep("x", int, lambda: 3) == 3  # and what it left is not mixed with what follows
    assert Stages(tmp_path).keep("x", int, never) == 3


def test_a_stage_of_another_kind_is_refused_by_its_file(tmp_path):
    Stages(tmp_path).keep("x", Curve, lambda: CURVE)
    with pytest.raises(UserError, match=r"x\.json: expected `int`, got `object`"):
        Stages(tmp_path).keep("x", int, never)
    (tmp_path / "stages" / "x.safetensors").unlink()
    with pytest.raises(UserError, match=r"x\.json: expected a field `values`, got none"):
        Stages(tmp_path).keep("x", Curve, never)


def test_seconds_are_of_all_runs_and_each_stage_has_its_own(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 13.0, 20.0, 100.0, 104.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    stages = Stages(tmp_path)
    stages.keep("outer", int, lambda: stages.keep("inner", int, lambda: 1))
    assert stages.seconds == {"inner": 3.0, "outer": 17.0}
    resumed = Stages(tmp_path)
    resumed.keep("outer", int, never)
    resumed.keep("later", int, lambda: 2)
    assert resumed.seconds == {"inner": 3.0, "outer": 17.0, "later": 4.0}


def test_the_timed_stages_of_older_evaluations_are_read(tmp_path):
    path = tmp_path / "stages" / "mapping-of-the-base.json"
    files.write_json(path, {"seconds": 2.5, "value": ["a", "b"]})
    stages = Stages(tmp_path, space="-")
    ask = ("mapping of the base", list[str])
    assert stages.keep(*ask, never, older.timed) == ["a", "b"]
    stages.keep("new", dict[str, float], lambda: {"seconds": 1.0, "value": 2.0}, older.timed)
    assert stages.seconds == {"mapping of the base": 2.5, "new": stages.seconds["new"]}
    again = Stages(tmp_path, space="-").keep("new", dict[str, float], never, older.timed)
    assert again == {"seconds": 1.0, "value": 2.0}  # a new stage is not taken for an older one
    files.write_json(path, ["a"])
    with pytest.raises(UserError, match="expected a stage with its seconds"):
        Stages(tmp_path, space="-").keep(*ask, never, older.timed)


def test_the_parts_of_older_scans_are_read(tmp_path):
    tensors = {"values": CURVE.values}
    files.write_tensors(tmp_path / "stages/screen.safetensors", tensors, {"stage": "screen"})
    files.write_json(tmp_path / "stages/phrases.json", ["x"])
    stages = Stages(tmp_path)
    assert stages.keep("phrases", list[str], never, older.beside) == ["x"]
    found = stages.keep("screen", dict[str, Tensor], never, older.beside)
    assert torch.equal(found["values"], CURVE.values)
    assert stages.keep("new", int, lambda: 1, older.beside) == 1


def test_the_gate_of_older_trials_is_read(tmp_path):
    gate = Direction(Site(2, "resid_pre", "last"), torch.tensor([0.6, 0.8]), "mean", -1.0, 2.0)
    about = {k: v for k, v in asdict(gate).items() if k != "vector"}
    files.write_tensors(tmp_path / "gate.safetensors", {"direction": gate.vector}, {})
    assert (
        Stages(tmp_path / "new").keep("gate", Direction, lambda: gate, older.gate).site == gate.site
    )
    files.write_json(tmp_path / "stages" / "gate.json", about)
    found = Stages(tmp_path).keep("gate", Direction, never, older.gate)
    assert found.site == gate.site
    assert torch.equal(found.vector, gate.vector)
