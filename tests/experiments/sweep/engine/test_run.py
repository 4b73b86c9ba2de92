"""Whatever is killed when: no finished cell is measured again, and the table is the same bytes."""

import collections
import json
import os
import signal
import time

import drive
import pandas as pd
import pytest
import toy_cells

from circuits.errors import UserError
from experiments.sweep.engine.executor import Lost, Started
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.run import missing, sweep
from experiments.sweep.engine.store import Record, Store, read_record

AXES = {"size": [3, 1, 2, 5], "seed": [0, 1]}
SLOW = {"size": [1, 2, 3, 4], "mode": ["fine", "spawns"], "seconds": 0.1}


def manifest(store, name="toys"):
    return json.loads((store.sweep_folder(name) / "manifest.json").read_text())


def expected_table(job):
    """What the table must hold, without the engine."""
    return pd.DataFrame([{"cell": c.key, **c.values, **toy_cells.row(c.values)} for c in job.cells])


def keys_of(job, lines):
    keys = {json.dumps(cell.values): cell.key for cell in job.cells}
    return [keys[json.dumps(line["values"])] for line in lines]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The table's bytes of a sweep in which nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_FOLDER", str(folder))
        path = folder / "toys.yaml"
        path.write_text(json.dumps({**AXES, "seconds": 0.2}))
        job = drive.job(path)
        outcome = sweep(job, Store(folder / "store"), Local(2))
    pd.testing.assert_frame_equal(pd.read_parquet(outcome.table), expected_table(job))
    assert len(outcome.done) == 8
    return outcome.table.read_bytes()


def test_a_killed_sweep_goes_on_where_it_was_and_ends_in_the_same_bytes(toys, undisturbed):
    grid, store = toys.grid(**AXES, seconds=0.2), Store(toys.folder / "store")
    job = drive.job(grid)
    process = toys.drive(grid, store.folder)
    toys.wait_until(lambda: len(list((store.folder / "cells").glob("*.json"))) >= 3)
    process.kill()
    process.wait()
    kept = set(store.load(job.cells).having("done"))
    assert 3 <= len(kept) < 8
    assert manifest(store)["complete"] is False
    toys.wait_until(lambda: not toys.running(), 3.0)  # the workers have noticed
    outcome = sweep(job, store, Local(2))
    assert set(outcome.skipped) == kept
    assert set(outcome.done) == {c.key for c in job.cells} - kept
    begun = collections.Counter(keys_of(job, toys.log("begin")))
    assert all(begun[key] == 1 for key in kept)
    assert len(begun) == 8
    assert outcome.table.read_bytes() == undisturbed
    assert manifest(store)["complete"] is True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_sweep_leaves_no_process_loses_nothing_and_writes_the_table_so_far(toys, number):
    grid, store = toys.grid(**SLOW), Store(toys.folder / "store")
    process = toys.drive(grid, store.folder, 3)
    toys.wait_until(lambda: len(toys.log("end")) >= 2 and toys.log("child"))
    assert toys.running()
    process.send_signal(number)
    assert process.wait(30) == 130
    assert toys.running() == []
    job = drive.job(grid)
    finished = set(keys_of(job, toys.log("end")))
    done = set(store.load(job.cells).having("done"))
    assert len(done) >= 2
    assert len(finished - done) <= 1  # one may have ended just when its worker was ended
    frame = pd.read_parquet(store.sweep_folder("toys") / "table.parquet")
    assert set(frame["cell"]) == done
    about = manifest(store)
    assert (about["complete"], about["done"], about["missing"]) == (False, len(done), 8 - len(done))
    assert not [p for p in store.folder.rglob("*") if p.name.startswith(".")]  # no scratch


def test_a_killed_worker_costs_an_attempt_and_nothing_else(toys, undisturbed):
    job, store = drive.job(toys.grid(**AXES, seconds=0.2)), Store(toys.folder / "store")
    lost, killed = [], []

    def listen(event):
        if isinstance(event, Started) and len(killed) == 0:
            toys.wait_until(lambda: event.key in keys_of(job, toys.log()))
            line = toys.log()[keys_of(job, toys.log()).index(event.key)]
            os.kill(line["pid"], signal.SIGKILL)
            killed.append(event.key)
        lost.extend([event] if isinstance(event, Lost) else [])

    outcome = sweep(job, store, Local(2), listen)
    assert [(e.key, e.reason) for e in lost] == [(killed[0], "worker died with signal 9")]
    assert outcome.table.read_bytes() == undisturbed
    assert read_record(store.path(killed[0])).attempt == 2
    begun = collections.Counter(keys_of(job, toys.log()))
    assert begun.pop(killed[0]) == 2
    assert set(begun.values()) == {1}


def test_a_cell_that_raises_is_recorded_and_tried_again_only_when_asked(toys):
    grid = toys.grid(size=[1, 2], mode=["raises", "fine"], seconds=0)
    store = Store(toys.folder / "store")
    job = drive.job(grid)
    broken = tuple(c.key for c in job.cells if c.values["mode"] == "raises")
    outcome = sweep(job, store, Local(2))
    assert outcome.failed == broken
    assert len(outcome.done) == 2
    record = read_record(store.path(broken[0]))
    assert record.error is not None
    assert record.error["message"] == "no number for 1"
    assert [f["cell"] for f in manifest(store)["failed"]] == list(broken)
    assert manifest(store)["complete"] is False
    (toys.folder / "broken").unlink()
    again = sweep(job, store, Local(2))
    assert (again.failed, again.done, len(again.skipped)) == (broken, (), 2)
    assert len(toys.log()) == 4
    healed = sweep(drive.job(grid, retry_failed=True), store, Local(2))
    assert (healed.done, healed.failed, len(healed.skipped)) == (broken, (), 2)
    assert read_record(store.path(broken[0])).attempt == 2
    assert manifest(store)["complete"] is True


def test_a_damaged_file_is_told_and_its_cell_measured_again(toys):
    job, store = drive.job(toys.grid(**AXES, seconds=0)), Store(toys.folder / "store")
    before = sweep(job, store, Local(1)).table.read_bytes()
    damaged = job.cells[3].key
    path = store.path(damaged)
    path.write_text(path.read_text().replace('"hits": 1', '"hits": 7'))
    outcome = sweep(job, store, Local(1))
    assert outcome.done == (damaged,)
    assert len(outcome.damaged) == 1
    assert damaged in outcome.damaged[0]
    assert outcome.table.read_bytes() == before


def test_sweeps_that_overlap_share_their_cells(toys):
    store = Store(toys.folder / "store")
    first = drive.job(toys.grid("first", size=[1, 2], seconds=0))
    second = drive.job(toys.grid("second", seconds=0, seed=[0, 1], size=[2, 3]))
    sweep(first, store, Local(1))
    outcome = sweep(second, store, Local(1))
    assert len(outcome.done) == 3
    assert set(outcome.skipped) == {c.key for c in first.cells if c.values["size"] == 2}
    assert len(pd.read_parquet(store.sweep_folder("first") / "table.parquet")) == 2
    assert len(pd.read_parquet(store.sweep_folder("second") / "table.parquet")) == 4


def test_the_longest_begin_first_and_the_table_keeps_the_grids_order(toys):
    def cost(values):
        return values["size"]

    grid, store = toys.grid(size=[3, 1, 2, 5], seconds=0), Store(toys.folder / "store")
    job = drive.job(grid, cost=cost)
    assert [t.values["size"] for t in missing(job, store.load(job.cells))] == [5, 3, 2, 1]
    outcome = sweep(job, store, Local(1))
    assert [line["values"]["size"] for line in toys.log()] == [5, 3, 2, 1]
    assert list(pd.read_parquet(outcome.table)["size"]) == [3, 1, 2, 5]


def test_events_come_after_the_cells_file_and_a_listener_that_fails_loses_nothing(toys):
    job, store = drive.job(toys.grid(size=[1, 2, 3], seconds=0.1)), Store(toys.folder / "store")

    def listen(event):
        if isinstance(event, Record):
            assert store.path(event.key).exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep(job, store, Local(2), listen)
    assert toys.running() == []
    assert len(store.load(job.cells).having("done")) == 1


def test_a_function_that_is_not_there_records_nothing_against_the_cells(toys):
    job, store = drive.job(toys.grid(size=[1])), Store(toys.folder / "store")
    object.__setattr__(job, "function", "toy_cells:nothing")
    with pytest.raises(UserError, match="toy_cells:nothing"):
        sweep(job, store, Local(1))
    assert store.load(job.cells).records == {}


def test_signals_are_given_back(toys):
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    inside = []
    job, store = drive.job(toys.grid(size=[1], seconds=0)), Store(toys.folder / "store")
    sweep(job, store, Local(1), lambda event: inside.append(signal.getsignal(signal.SIGTERM)))
    assert handlers[1] not in inside
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_second_signal_does_not_wait(toys):
    job, store = drive.job(toys.grid(size=[1, 2], seconds=20)), Store(toys.folder / "store")

    def listen(event):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)  # two signals that wait together are heard as one
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sweep(job, store, Local(1), listen)
    assert time.monotonic() - begun < 15
    assert toys.running() == []
