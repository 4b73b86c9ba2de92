"""On a cluster of two nodes, the same: every cell once, the dead replaced, the same table."""

import json
import os
import signal
import time

import drive
import pytest

from circuits.errors import UserError
from experiments.sweep.engine.executor import Lost, Progressed, Started
from experiments.sweep.engine.local import Local
from experiments.sweep.engine.ray import Ray
from experiments.sweep.engine.run import sweep
from experiments.sweep.engine.store import Store, read_record


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one processor each, whose workers log into this folder; (address, folder)."""
    pytest.importorskip("ray", reason="ray is missing: pip install -e '.[ray]'")
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        patch.setenv("TOY_FOLDER", str(folder))
        paths = [str(drive.HERE), str(drive.HERE.parents[3])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes.add_node(num_cpus=1)
        yield nodes.address, folder
        nodes.shutdown()


@pytest.fixture
def far(cluster, toys):
    """Toys whose log is the cluster's, empty; and where to run them."""
    address, folder = cluster
    (folder / "log").unlink(missing_ok=True)
    (folder / "broken").touch()
    toys.folder = folder
    return toys, Ray(address)


def jobs(toys, name, **axes):
    return drive.job(toys.grid(name, **axes)), Store(toys.folder / f"store-{name}")


def test_a_killed_worker_on_one_of_two_nodes_leaves_the_table_as_it_is(far, tmp_path, monkeypatch):
    toys, ray = far
    job, store = jobs(toys, "killed", size=[3, 1, 2, 5], seed=[0, 1], seconds=0.6)
    heard, killed = [], []

    def listen(event):
        heard.append(event)
        if isinstance(event, Progressed) and not killed:
            own = json.dumps(next(c.values for c in job.cells if c.key == event.key))
            pid = next(ln["pid"] for ln in toys.log() if json.dumps(ln["values"]) == own)
            os.kill(pid, signal.SIGKILL)
            killed.append(event.key)

    outcome = sweep(job, store, ray, listen)
    assert len(outcome.done) == 8
    assert [e.key for e in heard if isinstance(e, Lost)] == killed
    assert read_record(store.path(killed[0])).attempt == 2
    assert len({line["node"] for line in toys.log("end")}) == 2
    assert len(toys.log("end")) == 8
    for key in outcome.done:
        own = [drive.kind(e) for e in heard if e.key == key and not isinstance(e, Progressed)]
        assert own[-2:] == [Started, "done"]
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    here = sweep(job, Store(tmp_path / "here"), Local(2))
    assert here.table.read_bytes() == outcome.table.read_bytes()


def test_cells_that_raise_or_kill_their_worker_are_recorded_and_the_rest_goes_on(far):
    toys, ray = far
    job, store = jobs(toys, "failing", mode=["raises", "dies", "fine"], size=1, seconds=0)
    outcome = sweep(job, store, ray)
    records = store.load(job.cells).records
    raises, dies, fine = (records[cell.key] for cell in job.cells)
    assert outcome.done == (fine.key,)
    assert (raises.error["type"], raises.attempt) == ("ArithmeticError", 1)
    assert "toy_cells.py" in raises.error["traceback"]
    assert (dies.error["type"], dies.attempt) == ("WorkerDied", 3)


def test_workers_on_nodes_have_as_many_threads_as_processors(far):
    toys, ray = far
    job, store = jobs(toys, "threads", size=1)
    object.__setattr__(job, "function", "toy_cells:surroundings")
    sweep(job, store, ray)
    row = store.load(job.cells).records[job.cells[0].key].row
    assert row == {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "torch": False}


def test_a_stop_keeps_what_has_finished_and_ends_the_cells_on_the_nodes(far):
    toys, ray = far
    job, store = jobs(toys, "stopped", seconds=[0.0, 30.0], size=[1, 2])

    def listen(event):
        slow = [line for line in toys.log() if line["values"]["seconds"] == 30.0]
        if isinstance(event, Progressed) and len(slow) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        sweep(job, store, ray, listen)
    assert len(store.load(job.cells).having("done")) == 2
    toys.wait_until(lambda: not any(slow_is_running(toys)), 10)


def slow_is_running(toys):
    pids = [line["pid"] for line in toys.log() if line["values"]["seconds"] == 30.0]
    return [
        os.path.exists(f"/proc/{pid}/stat")
        and "Z" not in open(f"/proc/{pid}/stat").read().split()[2]
        for pid in pids
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [("no_such_module:f", "ModuleNotFoundError"), ("toy_cells:nothing", "AttributeError")],
)
def test_a_function_that_is_not_on_the_nodes_is_one_line(far, function, expected):
    toys, ray = far
    job, store = jobs(toys, expected, size=1)
    object.__setattr__(job, "function", function)
    with pytest.raises(UserError, match=expected):
        sweep(job, store, ray)
    assert store.load(job.cells).records == {}


def test_a_cell_that_no_node_has_room_for_is_one_line_and_not_a_long_wait(far):
    toys, ray = far
    job, store = jobs(toys, "large", size=1)
    begun = time.monotonic()
    with pytest.raises(UserError, match="expected a node with 64 processors"):
        sweep(job, store, Ray(ray.address, cpus=64))
    assert time.monotonic() - begun < 20


def test_no_cluster_at_the_address_is_one_line(toys):
    pytest.importorskip("ray", reason="ray is missing: pip install -e '.[ray]'")
    job, store = jobs(toys, "nowhere", size=1)
    with pytest.raises(UserError, match="expected a running Ray cluster") as caught:
        sweep(job, store, Ray("not an address"))
    assert "\n" not in str(caught.value)


def test_without_ray_it_is_said_how_to_get_it(toys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    job, store = jobs(toys, "none", size=1)
    with pytest.raises(UserError, match=r"pip install 'gatescope\[ray\]'"):
        sweep(job, store, Ray())
