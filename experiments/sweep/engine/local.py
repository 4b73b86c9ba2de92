"""Cells in worker processes on this machine.

A worker takes one cell after the other. One that dies is replaced, and its cell is tried again. The
loop waits on all the workers' lines at once; between two looks it assigns, hears and buries.
"""

import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait

from circuits.errors import UserError, expect
from experiments.sweep.engine.executor import Event, Progressed, Queue, Started, Task
from experiments.sweep.engine.process import WorkerProcess, thread_environment
from experiments.sweep.engine.stopping import Stop

_LOOK = 0.2  # seconds between two looks at who has died and whether to stop
_PATIENCE = 2.0  # seconds for a worker to leave by itself
_STILLBORN = 3  # workers that may die before they are ready


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Local:
    """Processes on this machine: an ``Executor``.

    Attributes:
        workers: how many.
        threads: of each; None shares the cores. The number of threads can change the last bits of
            sums, so give it where a sweep is resumed with other ``workers``.
        retries: how often a cell whose worker died is tried again.
    """

    workers: int = 1
    threads: int | None = None
    retries: int = 2

    def __post_init__(self) -> None:
        expect(
            self.workers >= 1 and (self.threads is None or self.threads >= 1),
            "at least 1",
            f"{self.workers} and {self.threads}",
            of="workers and threads",
        )

    def run(self, function: str, tasks: Sequence[Task], stop: Stop) -> Generator[Event, None, None]:
        """See ``Executor.run``."""
        threads = self.threads or max(1, cores() // self.workers)
        crew = _Crew(Queue(function, tasks, self.retries), thread_environment(threads))
        try:
            for _ in range(min(self.workers, len(tasks))):
                crew.hire()
            while crew.unfinished and not stop.asked:
                yield from crew.assign()
                wait([worker.line for worker in crew.workers], timeout=_LOOK)
                yield from crew.hear()
                yield from crew.bury()
            yield from crew.hear()
        finally:
            crew.dismiss()


class _Crew:
    """The workers, and the cells that they take."""

    def __init__(self, queue: Queue, environment: Mapping[str, str]) -> None:
        self.workers: list[WorkerProcess] = []
        self._queue, self._environment = queue, environment
        self._stillborn = 0
        self._host = socket.gethostname()

    @property
    def unfinished(self) -> bool:
        """Whether a cell waits or runs."""
        return bool(self._queue.waiting) or any(worker.task for worker in self.workers)

    def hire(self) -> None:
        self.workers.append(WorkerProcess(self._queue.function, self._environment))

    def assign(self) -> Iterator[Event]:
        """Give every idle worker a cell."""
        for worker in self.workers:
            if worker.ready and worker.task is None and self._queue.waiting:
                task = self._queue.waiting.popleft()
                worker.begin(task)
                yield Started(task.key, task.attempt, self._host)

    def hear(self) -> Iterator[Event]:
        """Everything the workers have said."""
        for worker in self.workers:
            yield from self._hear(worker)

    def _hear(self, worker: WorkerProcess) -> Iterator[Event]:
        for message in worker.messages():
            if message["kind"] == "broken":
                raise self._queue.broken(message["error"])
            if message["kind"] == "ready":
                worker.ready, self._stillborn = True, 0
            elif worker.task is not None:
                event = self._queue.event(worker.task, self._host, message)
                worker.task = worker.task if isinstance(event, Progressed) else None
                yield event

    def bury(self) -> Iterator[Event]:
        """Replace the dead; their cells wait again, or have failed."""
        for worker in [w for w in self.workers if not w.alive]:
            yield from self._hear(worker)  # what was said between the last look and its death
            worker.end(_PATIENCE)
            self.workers.remove(worker)
            self._stillborn += not worker.ready
            if self._stillborn >= _STILLBORN:
                output = " ".join(worker.output().split()[-40:]) or "no output"
                raise UserError(f"worker: expected it to start, but it {worker.death}: {output}")
            if worker.task is not None:
                seconds, reason = time.monotonic() - worker.begun, f"worker {worker.death}"
                yield self._queue.lose(worker.task, self._host, seconds, reason, worker.output())
            at_work = sum(bool(w.task) for w in self.workers)
            if len(self.workers) < len(self._queue.waiting) + at_work:
                self.hire()

    def dismiss(self) -> None:
        """End all workers; the idle may leave by themselves."""
        for worker in self.workers:
            worker.line.close()
        for worker in self.workers:
            worker.end(0.0 if self.unfinished else _PATIENCE)
