"""``gatescope verify-run``: what is whole is said to be, and what is not is named; by the command.

Of a run and of a sweep's store, whose cells are measured here in this process.
"""

import json
import shutil
from contextlib import contextmanager

import pytest

from experiments.runs import files, formats, locks
from experiments.runs.ledger import Ledger
from experiments.runs.stages import Stages
from experiments.sweep.engine.grid import Axis, read_grid
from experiments.sweep.engine.run import Job, sweep
from experiments.sweep.engine.store import Store

RUN = ("manifest.json", "result.json", "rows.parquet", "stages/one.json")


class Here:
    """Runs cells in this process."""

    def run(self, function, tasks, stop):
        for task in tasks:
            yield task.ended("here", 0.1, {"loss": task.values["size"] / 7})


@pytest.fixture
def run(tmp_path):
    """A finished run, written by hand."""
    folder = tmp_path / "run"
    with locks.held(folder):
        files.open_run(folder, files.Manifest("scan", {"model": "m"}, "gatescope scan"), False)
        Stages(folder).keep("one", int, lambda: 1)
        table, result = formats.row_bytes([{"a": 1}]), formats.json_bytes({"a": 1})
        Ledger(folder).write({"rows.parquet": table, "result.json": result})
    return folder


@pytest.fixture
def store(tmp_path):
    """A sweep's store of three cells, with one file beside its table."""
    file = tmp_path / "toys.yaml"
    file.write_text("size: [1, 2, 3]\n")
    kept = Store(tmp_path / "store")
    job = Job(read_grid(file, {"size": Axis(int)}), {}, "toys:measure")
    sweep(job, kept, Here())
    files.write_json(kept.sweep_folder("toys") / "budget.json", {"overall": "flat"})
    kept.list_files("toys")
    return kept.folder


@pytest.fixture
def verified(gatescope):
    """Status and JSON of the command, and the words of the files that are not whole."""

    def ask(folder):
        status, out, err = gatescope("verify-run", folder, "--json")
        assert err == []
        about = json.loads(out)
        words = {each["file"]: each["word"] for each in about["files"] if each["word"] != "whole"}
        return status, about, words

    return ask


def every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def changed(path, new):
    """A file with other bytes, or without any; then as it was."""
    content = path.read_bytes()
    path.unlink() if new is None else path.write_bytes(new(content))
    yield
    path.write_bytes(content)


def flipped(content):
    """One byte changed: of JSON, in a value's or a name's text."""
    at = content.rindex(b'"') - 1 if content[:1] == b"{" else len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_a_whole_run_is_said_to_be_and_a_flipped_byte_or_a_lost_file_is_named(run, verified):
    assert sorted(f.relative_to(run).as_posix() for f in every_file(run)) == [
        *RUN,
        "stages/seconds.json",
    ]
    status, about, words = verified(run)
    assert (status, about["whole"], about["hashes"], about["finished"]) == (0, True, True, True)
    assert words == {"stages/seconds.json": "unhashed"}  # times: nothing rests on them
    for name in RUN[1:]:
        for new, word in ((flipped, "damaged"), (None, "missing")):
            with changed(run / name, new):
                status, about, words = verified(run)
                assert (status, about["whole"]) == (1, False)
                assert words[name] == word
                assert len(words) == 2
    assert verified(run)[0] == 0  # as it was


def test_a_changed_or_lost_manifest_is_one_line(run, gatescope):
    for new in (lambda content: content.replace(b'"m"', b'"n"'), None):
        with changed(run / "manifest.json", new):
            status, _, err = gatescope("verify-run", run)
            assert status == 2
            assert len(err) == 1
            assert "manifest.json" in err[0] or "expected a run" in err[0], err
    assert gatescope("verify-run", run)[0] == 0


def test_a_file_that_was_added_is_foreign(run, verified, gatescope):
    shutil.copy(run / "stages/one.json", run / "stages/two.json")
    status, _, words = verified(run)
    assert (status, words["stages/two.json"]) == (1, "foreign")
    status, out, _ = gatescope("verify-run", run)
    first, last = out.splitlines()
    assert first.startswith("  foreign    'stages/two.json': ")
    assert "1 foreign" in last


def test_a_run_from_before_hashes_is_told_in_one_line(run, gatescope):
    status, out, _ = gatescope("verify-run", run)
    assert (status, "carry none" in out) == (0, False)
    about = files.read_json(run / "manifest.json")
    del about["files"], about["files_sha256"]
    files.write_json(run / "manifest.json", about)
    status, out, err = gatescope("verify-run", run)
    assert (status, err) == (0, [])
    line, last = out.splitlines()
    assert line == f"{run}: made before runs kept hashes: its stages carry none"
    assert last.endswith("(scan): 5 unhashed")
    with changed(run / "rows.parquet", lambda content: content[:9]):  # cannot be read
        assert gatescope("verify-run", run)[0] == 1


@pytest.mark.parametrize("part", ["", "sweeps/toys"])
def test_a_whole_store_is_said_to_be_and_any_change_is_named(store, verified, part):
    seen = store / part
    status, about, words = verified(seen)
    assert (status, words, about["hashes"], about["finished"]) == (0, {}, True, True)
    assert about["counts"] == {"whole": 6 if part == "" else 3}
    for path in every_file(seen):
        name = path.relative_to(seen).as_posix()
        with changed(path, flipped):
            status, _, words = verified(seen)
            assert (status, words[name], len(words)) == (1, "damaged", 1)
        if path.name != "manifest.json":
            with changed(path, None):
                status, _, words = verified(seen)
                assert (status, words[name], len(words)) == (1, "missing", 1)
    assert verified(seen)[0] == 0  # as it was


def test_files_added_to_a_store_are_foreign_and_what_a_killed_sweep_left_is_not(store, verified):
    cell = next((store / "cells").iterdir())
    left = [f"cells/.{cell.name}-abcd1234", "sweeps/toys/.manifest.json-abcd1234"]
    for name in left:
        (store / name).write_bytes(b"{")
    (store / locks.LOCK).write_bytes(b"")
    status, _, words = verified(store)
    assert (status, words) == (0, dict.fromkeys(left, "unfinished"))
    for name in ("mine.txt", "cells/mine.txt", "sweeps/toys/mine.json"):
        (store / name).write_bytes(b"{}")
        status, _, words = verified(store)
        assert (status, words.pop(name), set(words.values())) == (1, "foreign", {"unfinished"})
        (store / name).unlink()
    other = cell.with_name(f"{'0' * 24}.json")
    shutil.copy(cell, other)  # under another cell's name
    status, _, words = verified(store)
    assert (status, words[f"cells/{other.name}"]) == (1, "damaged")


def test_a_lost_cell_is_named_from_the_sweep_too_and_a_copied_table_needs_no_cells(store, verified):
    cell = next((store / "cells").iterdir())
    alone = shutil.copytree(store / "sweeps/toys", store.parent / "results/zoo/alone")
    cell.unlink()
    status, _, words = verified(store / "sweeps/toys")
    assert (status, words) == (1, {f"cells/{cell.name}": "missing"})
    assert verified(alone)[0] == 0


def test_a_store_from_before_hashes_is_told_in_one_line(store, gatescope, verified):
    path = store / "sweeps/toys/manifest.json"
    about = files.read_json(path)
    files.write_json(path, {n: v for n, v in about.items() if n not in ("files", "sha256")})
    status, out, err = gatescope("verify-run", store)
    assert (status, err) == (0, [])
    assert out.splitlines()[0].endswith("its stages carry none")
    assert verified(store)[2] == {
        f"sweeps/toys/{n}.json": "unhashed" for n in ("manifest", "budget")
    }
    with changed(store / "sweeps/toys/budget.json", lambda content: b"{"):
        assert gatescope("verify-run", store)[0] == 1


def test_a_directory_of_nothing_is_refused_in_one_line(tmp_path, gatescope):
    (tmp_path / "nothing").mkdir()
    for place in ("nothing", "nowhere"):
        status, _, err = gatescope("verify-run", tmp_path / place)
        assert status == 2
        assert len(err) == 1
        assert place in err[0]
