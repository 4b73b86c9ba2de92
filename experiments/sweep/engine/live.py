"""A sweep as it runs, on a terminal: one bar over all cells, and one for each that is running.

The time left comes from what cells have taken so far, for each unit of their cost hint, and from
how many run at a time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from experiments.sweep.engine.executor import Event, Lost, Progressed, Started, Task
from experiments.sweep.engine.run import Cost
from experiments.sweep.engine.store import Record


class Pace:
    """How long the rest of some tasks will take. Costs are in any unit."""

    def __init__(self, costs: Mapping[str, float]) -> None:
        self._left = dict(costs)
        self._share: dict[str, float] = {}  # done of each running cell, 0 to 1
        self._cost, self._seconds = 0.0, 0.0
        self._most = 1

    def hear(self, event: Event) -> None:
        """Take an event into account."""
        if isinstance(event, Started):
            self._share[event.key] = 0.0
            self._most = max(self._most, len(self._share))
        elif isinstance(event, Progressed) and event.key in self._share and event.total > 0:
            self._share[event.key] = min(1.0, event.done / event.total)
        elif isinstance(event, Lost | Record):
            self._share.pop(event.key, None)
        if isinstance(event, Record):
            cost = self._left.pop(event.key, 0.0)
            if event.status == "done":  # a failure's time says little about a success
                self._cost += cost
                self._seconds += event.seconds

    def seconds_left(self) -> float | None:
        """Wall seconds until all have finished; None before the first has."""
        if self._cost <= 0:
            return None
        left = sum(cost * (1 - self._share.get(key, 0.0)) for key, cost in self._left.items())
        at_a_time = max(1, min(self._most, len(self._left)))
        return self._seconds / self._cost * left / at_a_time


class LiveView(Progress):
    """A context and a listener of ``run.sweep``. Drawn only on a terminal.

    ``tasks`` are those that will run; ``names`` the axes that tell them apart.
    """

    def __init__(
        self, console: Console, tasks: Sequence[Task], names: Sequence[str], cost: Cost
    ) -> None:
        self._pace = Pace({task.key: cost(task.values) for task in tasks})
        self._labels = {task.key: label(task.values, names) for task in tasks}
        self._bars: dict[str, TaskID] = {}
        self._counts: Counter[str] = Counter()
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._all = self.add_task("cells", total=len(tasks), note="")

    def __call__(self, event: Event) -> None:
        """Draw an event."""
        self._pace.hear(event)
        if isinstance(event, Started):
            name = self._labels[event.key]
            self._bars[event.key] = self.add_task(name, total=None, note=event.host)
        elif isinstance(event, Progressed) and event.key in self._bars:
            self.update(self._bars[event.key], completed=event.done, total=event.total)
        elif isinstance(event, Lost | Record) and event.key in self._bars:
            self.remove_task(self._bars.pop(event.key))
        self._counts.update([event.status] if isinstance(event, Record) else ())
        seconds = self._pace.seconds_left()
        left = "" if seconds is None else f", {clock(seconds)} left"
        note = f"{self._counts['done']} done, {self._counts['failed']} failed{left}"
        self.update(self._all, completed=self._counts.total(), note=note)


def label(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """The values that tell a cell from the others."""
    return " ".join(f"{name}={values[name]}" for name in names) or "cell"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as they are read."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
