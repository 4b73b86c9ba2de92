"""The cells that wait for a worker, and what becomes of those that were handed out.

The same in every place: a last message is an event, and a cell whose worker has died waits again,
until it has cost as many workers as are allowed.
"""

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from circuits.errors import UserError, expect
from experiments.sweep.engine.events import Ended, Failed, Finished, Lost, Task


class Queue:
    """Tasks for ``function``, in their order; a lost one is the next.

    Raises:
        UserError: ``function`` is not ``module:function`` by its form.
    """

    def __init__(self, function: str, tasks: Sequence[Task], retries: int) -> None:
        expect(
            re.fullmatch(r"\w+(\.\w+)*:\w+", function),
            "module:function",
            repr(function),
            of="cell function",
        )
        self.function, self.waiting, self._retries = function, deque(tasks), retries
        self._lost: Counter[str] = Counter()

    def end(self, task: Task, host: str, message: Mapping[str, Any]) -> Ended:
        """The event that a worker's last message about a cell stands for."""
        if message["kind"] == "finished":
            return Finished(task.key, task.attempt, host, message["seconds"], message["row"])
        return Failed(task.key, task.attempt, host, message["seconds"], message["error"])

    def lose(
        self, task: Task, host: str, seconds: float, reason: str, output: str = ""
    ) -> Lost | Failed:
        """A cell's worker has died, after so many seconds; ``output`` is what it had printed."""
        self._lost[task.key] += 1
        if self._lost[task.key] > self._retries:
            error = {"type": "WorkerDied", "message": reason, "traceback": output}
            return Failed(task.key, task.attempt, host, seconds, error)
        self.waiting.appendleft(replace(task, attempt=task.attempt + 1))
        return Lost(task.key, task.attempt, reason)

    def broken(self, error: Mapping[str, str], where: str = "") -> UserError:
        """What is said where the function cannot be imported."""
        return UserError(
            f"cell function {self.function}: expected to import it{where}, got {error['type']}: "
            f"{error['message']}"
        )
