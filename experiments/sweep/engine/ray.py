"""Cells on a Ray cluster.

Each cell is a task; its values go out and its row comes back as JSON texts. The driver alone keeps
results, so the nodes need no common file system; they need gatescope, installed in the same version
(nothing of the user's directory is uploaded), and whatever else the cell's function imports. A task
whose worker or node died is submitted again, here and not by Ray, so that attempts are counted as
they are for processes. An actor without a processor of its own carries progress; should it be lost,
only the progress is.
"""

import importlib
import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from circuits.errors import UserError, expect, first_line
from experiments.sweep.engine.executor import Event, Progressed, Queue, Started, Task
from experiments.sweep.engine.process import thread_environment
from experiments.sweep.engine.stopping import Stop
from experiments.sweep.engine.worker import Mailbox, run_remotely

_LOOK = 0.2  # seconds between two looks at whether to stop


@dataclass(frozen=True)
class Ray:
    """A Ray cluster: an ``Executor``.

    Attributes:
        address: of the cluster's head (``host:port``, or ``auto``), or ``local`` to start one here.
        cpus, gpus: that a cell takes; threads are as many as its processors.
        retries: how often a cell whose worker died is tried again.
    """

    address: str = "local"
    cpus: float = 1
    gpus: float = 0
    retries: int = 2

    def run(self, function: str, tasks: Sequence[Task], stop: Stop) -> Generator[Event, None, None]:
        """See ``Executor.run``."""
        queue = Queue(function, tasks, self.retries)
        with _connected(self.address) as ray:
            stop.claim()  # connecting takes the termination signal
            _check_room(ray, self)
            flight = _Flight(ray, self, queue)
            try:
                while flight.unfinished and not stop.asked:
                    flight.submit()
                    yield from flight.land(_LOOK)
                yield from flight.land(0)
            finally:
                flight.cancel()


@dataclass
class _Seat:
    """A submitted task."""

    task: Task
    begun: float = field(default_factory=time.monotonic)
    host: str = ""  # that it has begun on

    def progress(self, host: str, done: int = 0, total: int = 0) -> Iterator[Event]:
        """What a node has said of it, and first that it has begun there."""
        if not self.host:
            self.host = host
            yield Started(self.task.key, self.task.attempt, host)
        if total:
            yield Progressed(self.task.key, done, total)


class _Flight:
    """Tasks that wait, and tasks that are with Ray."""

    def __init__(self, ray: Any, where: Ray, queue: Queue) -> None:
        self._ray, self._where, self._queue = ray, where, queue
        self._seats: dict[Any, _Seat] = {}
        self._mailbox = ray.remote(num_cpus=0, max_restarts=-1)(Mailbox).remote()
        self._letters = self._mailbox.take.remote()
        threads = max(1, int(where.cpus))
        self._remote = ray.remote(run_remotely).options(
            num_cpus=where.cpus,
            num_gpus=where.gpus,
            max_retries=0,
            runtime_env={"env_vars": thread_environment(threads)},
        )

    @property
    def unfinished(self) -> bool:
        return bool(self._queue.waiting or self._seats)

    def submit(self) -> None:
        """Fill the room there is."""
        room = _slots(self._ray, self._where)
        while self._queue.waiting and len(self._seats) < room:
            task = self._queue.waiting.popleft()
            values = json.dumps(dict(task.values))
            name = (task.key, task.attempt)
            reference = self._remote.remote(self._queue.function, values, name, self._mailbox)
            self._seats[reference] = _Seat(task)

    def land(self, patience: float) -> Iterator[Event]:
        """What has been heard and what has finished, waiting so many seconds for the first."""
        yield from self._read_letters()
        if not self._seats:
            return
        ready, _ = self._ray.wait(list(self._seats), num_returns=1, timeout=patience)
        if ready:
            ready, _ = self._ray.wait(list(self._seats), num_returns=len(self._seats), timeout=0)
        for reference in ready:
            yield from self._landed(reference, self._seats.pop(reference))

    def _landed(self, reference: Any, seat: _Seat) -> Iterator[Event]:
        errors = self._ray.exceptions
        try:
            message = json.loads(self._ray.get(reference))
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            line = " ".join(str(error).split())[-300:]
            raise UserError(
                f"Ray: expected a node to run gatescope, got: {line}; install the same version of "
                "gatescope on every node"
            ) from error
        except errors.RayError as error:
            reason = f"worker died: {first_line(error, None)}"
            yield self._queue.lose(seat.task, seat.host, time.monotonic() - seat.begun, reason)
            return
        if message["kind"] == "broken":
            raise self._queue.broken(message["error"], f" on {message['host']}")
        yield from seat.progress(message["host"])
        yield self._queue.event(seat.task, message["host"], message)

    def _read_letters(self) -> Iterator[Event]:
        """Ask for progress, and never wait for the answer."""
        ready, _ = self._ray.wait([self._letters], timeout=0)
        if not ready:
            return
        with suppress(self._ray.exceptions.RayError):  # the mailbox' node died; Ray starts another
            seats = {(s.task.key, s.task.attempt): s for s in self._seats.values()}
            for name, letter in self._ray.get(self._letters).items():
                if name in seats:
                    yield from seats[name].progress(*letter)
        self._letters = self._mailbox.take.remote()

    def cancel(self) -> None:
        """End what is still running."""
        for reference in self._seats:
            self._ray.cancel(reference, force=True)
        self._ray.kill(self._mailbox)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected; a connection that the caller had is used and kept."""
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"--ray {address}: expected a running Ray cluster, got: {first_line(error, None)}; "
            "start one with 'ray start --head', or use --ray local"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    # Read when ray is imported: it neither uploads the directory of a driver under `uv run`, nor
    # reports a cluster's use to its makers, unless the user has asked for it.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.exceptions")
    except ImportError as error:
        raise UserError(
            "--ray: expected ray to be installed, it is not; pip install 'gatescope[ray]'"
        ) from error
    return ray


def _check_room(ray: Any, where: Ray) -> None:
    """Ray itself waits for ever for a node that is large enough."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    expect(
        any(n.get("CPU", 0) >= where.cpus and n.get("GPU", 0) >= where.gpus for n in nodes),
        f"a node with {where.cpus} processors and {where.gpus} GPUs",
        f"none of {len(nodes)}",
        "ask for less",
        f"--ray {where.address}",
    )


def _slots(ray: Any, where: Ray) -> int:
    """Cells for which the cluster has room, now that nodes may have come or gone."""
    has = ray.cluster_resources()
    wants = {"CPU": where.cpus, "GPU": where.gpus}
    rooms = [has.get(name, 0) / count for name, count in wants.items() if count]
    return max(1, int(min(rooms, default=1)))
