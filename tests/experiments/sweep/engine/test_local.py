"""One record for every task, whatever becomes of the workers."""

import os
import signal
import subprocess
import sys
import time

import pytest
from drive import kind

from circuits.errors import UserError
from experiments.sweep.engine.executor import Lost, Progressed, Started, Task
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.stopping import Stop
from experiments.sweep.engine.store import Record
from experiments.sweep.engine.worker import checked_row


def task(size=1, seconds=0.0, mode="fine"):
    values = {"size": size, "seed": 0, "seconds": seconds, "mode": mode}
    return Task(f"{mode}{size}", values, {})


def events_of(tasks, workers=1, function="toy_cells:measure", **options):
    return list(Local(workers, **options).run(function, tasks, Stop()))


def test_a_cell_starts_progresses_and_finishes_and_one_worker_does_them_all(toys):
    found = events_of([task(1, 0.3), task(2)])
    own = [kind(e) for e in found if e.key == "fine1" and not isinstance(e, Progressed)]
    assert own == [Started, "done"]
    steps = [e for e in found if isinstance(e, Progressed) and e.key == "fine1"]
    assert steps[-1] == Progressed("fine1", 6, 6)
    assert len(steps) >= 2
    assert len({line["pid"] for line in toys.log()}) == 1
    assert os.getpid() not in {line["pid"] for line in toys.log()}


def test_workers_share_the_cores_and_have_no_torch_before_the_cell_imports_it(toys, monkeypatch):
    monkeypatch.setattr("experiments.sweep.engine.local.cores", lambda: 7)
    for options, threads in (({}, "3"), ({"threads": 5}, "5")):
        found = events_of([task()], 2, "toy_cells:surroundings", **options)
        row = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive", "torch": False}
        assert found[-1].row == row


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("raises", "ArithmeticError", "no number for 1"),
        ("quits", "SystemExit", "enough"),
    ],
)
def test_a_cell_that_raises_is_told_and_its_worker_goes_on(toys, mode, kind, message):
    found = [e for e in events_of([task(1, mode=mode), task(2)]) if isinstance(e, Record)]
    assert (found[0].error["type"], found[0].error["message"]) == (kind, message)
    assert "toy_cells.py" in found[0].error["traceback"]
    assert [e.status for e in found] == ["failed", "done"]
    assert len({line["pid"] for line in toys.log()}) == 1


@pytest.mark.parametrize(
    ("mode", "message", "said"),
    [("dies", "worker died with signal 9", ""), ("exits", "worker exited with status 3", "words")],
)
def test_a_cell_whose_workers_die_is_tried_three_times_and_the_rest_goes_on(
    toys, mode, message, said
):
    found = events_of([task(1, mode=mode), task(2), task(3)], 2)
    own = [e for e in found if e.key == f"{mode}1" and not isinstance(e, Progressed)]
    assert [kind(e) for e in own] == [Started, Lost, Started, Lost, Started, "failed"]
    assert (own[-1].error["message"], own[-1].attempt) == (message, 3)
    assert said in own[-1].error["traceback"]
    assert sum(kind(e) == "done" for e in found) == 2


def test_an_idle_worker_that_is_killed_costs_no_cell_an_attempt(toys):
    run = Local(1).run("toy_cells:measure", [task(1), task(2)], Stop())
    for event in run:
        if kind(event) == "done" and event.key == "fine1":
            os.kill(toys.log()[0]["pid"], signal.SIGKILL)
            toys.wait_until(lambda: not toys.running())  # on a busy machine it lives a while
    assert len({line["pid"] for line in toys.log()}) == 2
    assert event.key == "fine2"
    assert event.attempt == 1


def test_closing_the_events_ends_the_worker_and_what_its_cell_has_started(toys):
    run = Local(1).run("toy_cells:measure", [task(1, mode="spawns")], Stop())
    next(run)
    toys.wait_until(lambda: toys.log("child"))
    assert len(toys.running()) == 2
    run.close()
    assert toys.running() == []


@pytest.mark.parametrize("seconds", [(0.4, 0.0), (0.0, 0.4)])
def test_what_had_finished_when_a_stop_was_asked_is_still_told(toys, seconds):
    stop, told = Stop(), set()
    tasks = [*(task(i, s) for i, s in enumerate(seconds)), task(2, 30.0), task(3, 30.0)]
    for event in Local(2).run("toy_cells:measure", tasks, stop):
        told |= {event.key} if kind(event) == "done" else set()
        begun = {line["values"]["size"] for line in toys.log()}
        if told and begun >= {0, 1} and not stop.asked:  # a slow worker begins after the other ends
            toys.wait_until(lambda: len(toys.log("end")) == 2)
            time.sleep(0.1)  # the other one's result is on its way, or has come
            stop.ask()
    assert told == {"fine0", "fine1"}
    assert toys.running() == []


def test_workers_of_a_killed_parent_end_in_mid_cell_with_what_they_have_started(toys):
    code = """
from experiments.sweep.engine.executor import Task
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.stopping import Stop
values = {"size": 1, "seed": 0, "seconds": 0.0, "mode": "spawns"}
list(Local(1).run("toy_cells:measure", [Task("k", values, {})], Stop()))
"""
    path = os.pathsep.join(sys.path)
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    toys.wait_until(lambda: toys.log("child"))
    assert len(toys.running()) == 2
    parent.kill()
    parent.wait()
    toys.wait_until(lambda: not toys.running(), 5.0)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("toy_cells", "expected module:function"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("toy_cells:no_such_function", "AttributeError"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(toys, function, expected):
    with pytest.raises(UserError, match=expected):
        events_of([task()], function=function)


def test_workers_that_cannot_start_are_one_line(toys, monkeypatch):
    (toys.folder / "json").mkdir()
    (toys.folder / "json" / "__init__.py").write_text("raise SystemError('no such luck')")
    monkeypatch.syspath_prepend(str(toys.folder))
    with pytest.raises(UserError, match=r"expected it to start, but it exited.*no such luck"):
        events_of([task()])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([1], "expected a mapping, got list"),
        ({"x": float("nan")}, "x: expected a finite number, got nan"),
        ({"x": [[1]]}, "x: expected flat JSON or a list of it, got list"),
        ({"x": [1.0, float("nan")]}, "x: expected a finite number, got nan"),
        ({1: 2}, "expected names, got 1"),
        ({"size": 2}, "size: expected another name"),
        ({"cell": "k"}, "cell: expected another name"),
    ],
)
def test_a_row_that_a_table_cannot_hold_is_the_cells_error(row, expected):
    with pytest.raises((TypeError, ValueError), match=expected):
        checked_row({"size": 1}, row)
    assert checked_row({"size": 1}, {"size": 1, "x": None}) == {"size": 1, "x": None}
