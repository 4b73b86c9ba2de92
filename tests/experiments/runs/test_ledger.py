"""What a run wrote is what is read: anything else is one line that names the file."""

import shutil
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from circuits.errors import UserError
from circuits.types import PatchGrid
from experiments.runs import files, formats, ledger, locks
from experiments.runs.files import Manifest, open_run
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Stages
from experiments.runs.whole import wholeness

MANIFEST = Manifest("analysis", {"model": "m", "trigger": "cobalt"}, "gatescope analyze")
GRID = PatchGrid("noising", "z", "gap", ("a",), torch.ones(1, 1, 2), torch.zeros(2), torch.ones(2))


@dataclass(frozen=True, eq=False)
class Curve:
    rate: float
    values: Tensor


CURVE = Curve(0.25, torch.arange(6.0))


@pytest.fixture
def run(tmp_path):
    """A run with three stages, a table and a result."""
    return made(tmp_path / "run")


def made(folder, value=0.25, manifest=MANIFEST):
    with locks.held(folder):
        open_run(folder, manifest, resume=False)
        stages = Stages(folder)
        stages.keep("curve", Curve, lambda: replace(CURVE, rate=value))
        stages.keep("other", Curve, lambda: replace(CURVE, rate=2 * value))
        stages.keep("grid", PatchGrid, lambda: GRID)
        table = formats.row_bytes([{"a": value}])
        Ledger(folder).write({"answers.parquet": table, "result.json": b"{}\n"})
    return folder


def read(folder):
    """Everything, as a resumed run and a report do."""
    stages = Stages(folder)
    for name, kind in {"curve": Curve, "other": Curve, "grid": PatchGrid}.items():
        stages.keep(name, kind, never)
    stages.ledger.rows("answers.parquet")
    stages.ledger.json("result.json")


def never():
    raise AssertionError("made again")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def as_directory(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a directory": as_directory,
}
FILES = (
    "stages/curve.json",
    "stages/curve.safetensors",
    "stages/grid.json",
    "stages/grid.safetensors",
    "answers.parquet",
    "result.json",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_named_and_never_used(run, name, how):
    read(run)  # as it was written it is read
    DAMAGE[how](run / name)
    if how == "gone" and name in ("stages/curve.json", "stages/grid.json"):
        assert not Ledger(run).has(name)  # what was deleted is made again
        return
    with pytest.raises(UserError) as told:
        read(run)
    line = str(told.value)
    assert line.startswith(f"{run / name}: expected ")
    assert "--resume measures it again" in line
    assert "\n" not in line
    found = {s.file: s.word for s in wholeness(run).files}
    assert found.pop(name) == ("missing" if how == "gone" else "damaged")
    assert set(found.values()) <= {"whole", "unhashed"}


def test_what_the_line_says_is_enough(run):
    flip(run / "stages/curve.safetensors")
    with pytest.raises(UserError, match=r"delete it and curve\.json, --resume measures it again"):
        read(run)
    for name in ("curve.json", "curve.safetensors"):
        (run / "stages" / name).unlink()
    stages = Stages(run)
    again = stages.keep("curve", Curve, lambda: CURVE)
    assert torch.equal(again.values, CURVE.values)
    read(run)
    assert wholeness(run).whole


def test_a_stage_of_another_run_or_another_stage_is_refused(run, tmp_path):
    other = made(tmp_path / "other", value=0.5)
    shutil.copy(other / "stages/curve.json", run / "stages/curve.json")
    with pytest.raises(UserError, match=r"curve\.json: expected the file that this run wrote"):
        read(run)
    shutil.copy(run / "stages/other.json", run / "stages/curve.json")
    with pytest.raises(UserError, match=r"got that of stages/other\.json"):
        read(run)


def test_hashes_that_were_edited_or_are_another_runs_are_refused(run, tmp_path):
    other = made(tmp_path / "other", value=0.5, manifest=replace(MANIFEST, kind="scan"))
    own, theirs = (files.read_json(f / "manifest.json") for f in (run, other))
    theirs_here = {key: theirs[key] for key in ("files", "files_sha256")}
    edited = {**own["files"], "result.json": "0" * 64}
    for changed in ({"files": edited}, theirs_here, {"question": {"model": "x"}}):
        files.write_json(run / "manifest.json", {**own, **changed})
        with pytest.raises(UserError, match=r"manifest\.json: expected hashes, kind and question"):
            read(run)
    files.write_json(run / "manifest.json", own)
    read(run)


def test_a_stage_that_is_in_no_list_is_never_read(run):
    for suffix in ("json", "safetensors"):
        shutil.copy(run / f"stages/curve.{suffix}", run / f"stages/foreign.{suffix}")
    assert not Stages(run).has("foreign")
    assert wholeness(run).counts["foreign"] == 2
    made_now = Stages(run).keep("foreign", int, lambda: 7)
    assert made_now == 7


@pytest.mark.parametrize("stop_at", range(1, 5))
def test_a_stop_anywhere_in_a_write_leaves_what_resumes(run, monkeypatch, stop_at):
    (run / "stages/curve.json").unlink()
    real, calls = files.write_atomically, []

    def stopped(path, content):
        calls.append(path)
        if len(calls) == stop_at + 1:  # the first writes what stages took
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_atomically", stopped)
        with pytest.raises(KeyboardInterrupt):
            Stages(run).keep("curve", Curve, lambda: CURVE)
    again = Stages(run).keep("curve", Curve, lambda: CURVE)
    assert again.rate == CURVE.rate
    read(run)
    assert wholeness(run).whole


def test_a_run_without_hashes_opens_with_one_line(run, recwarn):
    manifest = files.read_json(run / "manifest.json")
    del manifest["files"], manifest["files_sha256"]
    files.write_json(run / "manifest.json", manifest)
    ledger._TOLD.clear()
    read(run)
    read(run)
    said = [str(w.message) for w in recwarn if "hashes" in str(w.message)]
    assert len(said) == 1
    assert said[0].startswith(f"{run}: made before runs kept hashes")
    found = wholeness(run)
    assert (found.whole, found.hashes, found.finished) == (True, False, True)
    assert set(found.counts) == {"unhashed"}
    (run / "stages/curve.safetensors").write_bytes(b"\0" * 9)
    with pytest.raises(UserError, match=r"curve\.safetensors: expected a whole safetensors file"):
        read(run)
    assert not wholeness(run).whole


def test_own_scratch_is_removed_and_a_users_is_not(run):
    own = [".manifest.json-abcd1234", ".result.json-ab_d1234", "stages/.curve.json-00000000"]
    users = [".notes-abcd1234", ".thesis.json-abcd1234", "mine.txt"]
    for name in (*own, *users):
        (run / name).write_text("half")
    with locks.held(run):
        assert open_run(run, MANIFEST, resume=True)
        Ledger(run).clean()
    assert not any((run / name).exists() for name in own)
    assert all((run / name).exists() for name in users)


def test_other_versions_are_told_in_one_line(run, recwarn):
    manifest = files.read_json(run / "manifest.json")
    manifest["versions"]["torch"] = "1.0.0"
    files.write_json(run / "manifest.json", manifest)
    assert open_run(run, MANIFEST, resume=True)
    locks.release(run)
    (line,) = [str(w.message) for w in recwarn]
    assert "begun with torch '1.0.0', now" in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "gatescope.manifest/9"}, "gatescope.manifest/1.*got gatescope.manifest/9"),
        ({"question": "cobalt"}, "a manifest with kind and question"),
        ({"kind": None}, "a manifest with kind and question"),
    ],
)
def test_a_manifest_of_the_future_or_a_damaged_one_is_refused(run, changes, says):
    manifest = files.read_json(run / "manifest.json")
    files.write_json(run / "manifest.json", {**manifest, **changes})
    with pytest.raises(UserError, match=says) as told:
        open_run(run, MANIFEST, resume=True)
    assert "\n" not in str(told.value)
    assert not (run / locks.LOCK).exists()
