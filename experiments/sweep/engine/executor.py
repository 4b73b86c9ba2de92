"""What the places that run cells have in common: tasks in, events out, and the queue between them.

A cell whose worker has died waits again, until it has cost as many workers as are allowed. A task's
last event is the record that is kept of its cell.
"""

import re
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from circuits.errors import UserError, expect
from experiments.sweep.engine.grid import Cell
from experiments.sweep.engine.stopping import Stop
from experiments.sweep.engine.store import Record


@dataclass(frozen=True)
class Task(Cell):
    """A cell to run. ``attempt`` counts all tries ever made, this one included."""

    attempt: int = 1

    def ended(
        self,
        host: str,
        seconds: float,
        row: dict[str, Any] | None = None,
        error: dict[str, str] | None = None,
    ) -> Record:
        """The record of a cell that has measured a row, or failed with an error."""
        status, took = "failed" if row is None else "done", round(seconds, 6)
        return Record(
            self.key, self.values, self.salt, status, took, self.attempt, row, error, host
        )


@dataclass(frozen=True)
class Started:
    key: str
    attempt: int
    host: str


@dataclass(frozen=True)
class Progressed:
    """``done`` of ``total`` steps, in whatever unit the cell counts."""

    key: str
    done: int
    total: int


@dataclass(frozen=True)
class Lost:
    """The worker died; the cell will be tried again."""

    key: str
    attempt: int
    reason: str


Event = Started | Progressed | Lost | Record


class Executor(Protocol):
    """A place where cells run."""

    def run(self, function: str, tasks: Sequence[Task], stop: Stop) -> Generator[Event, None, None]:
        """Run ``module:function`` on every task; one record for each.

        Closing the generator, or asking ``stop``, ends all work; what had finished by then is still
        told. Nothing is left running.

        Raises:
            UserError: the function cannot be imported, or the place cannot be used.
        """
        ...


class Queue:
    """Tasks for ``function``, in their order; a lost one is the next.

    Raises:
        UserError: ``function`` is not ``module:function`` by its form.
    """

    def __init__(self, function: str, tasks: Sequence[Task], retries: int) -> None:
        form = re.fullmatch(r"\w+(\.\w+)*:\w+", function)
        expect(form, "module:function", repr(function), of="cell function")
        self.function, self.waiting, self._retries = function, deque(tasks), retries
        self._lost: Counter[str] = Counter()

    def lose(
        self, task: Task, host: str, seconds: float, reason: str, output: str = ""
    ) -> Lost | Record:
        """A cell's worker has died, after so many seconds; ``output`` is what it had printed."""
        self._lost[task.key] += 1
        if self._lost[task.key] > self._retries:
            error = {"type": "WorkerDied", "message": reason, "traceback": output}
            return task.ended(host, seconds, error=error)
        self.waiting.appendleft(replace(task, attempt=task.attempt + 1))
        return Lost(task.key, task.attempt, reason)

    def event(self, task: Task, host: str, message: Mapping[str, Any]) -> Progressed | Record:
        """What a worker's message about its cell stands for."""
        if message["kind"] == "progress":
            return Progressed(task.key, message["done"], message["total"])
        return task.ended(host, message["seconds"], message.get("row"), message.get("error"))

    def broken(self, error: Mapping[str, str], where: str = "") -> UserError:
        """What is said where the function cannot be imported."""
        return UserError(
            f"cell function {self.function}: expected to import it{where}, got {error['type']}: "
            f"{error['message']}"
        )
