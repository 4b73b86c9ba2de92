"""What the places that run cells have in common: tasks in, events out."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.sweep.engine.stopping import Stop


@dataclass(frozen=True)
class Task:
    """A cell to run. ``attempt`` counts all tries ever made, this one included."""

    key: str
    values: Mapping[str, Any]
    attempt: int = 1


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


@dataclass(frozen=True)
class Finished:
    """``row`` is flat JSON, or flat lists of it; ``seconds`` is wall time inside the function."""

    key: str
    attempt: int
    host: str
    seconds: float
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """``error`` has ``type``, ``message`` and ``traceback``, all text."""

    key: str
    attempt: int
    host: str
    seconds: float
    error: Mapping[str, str]


Ended = Finished | Failed
Event = Started | Progressed | Lost | Ended


class Executor(Protocol):
    """A place where cells run."""

    def run(self, function: str, tasks: Sequence[Task], stop: Stop) -> Generator[Event, None, None]:
        """Run ``module:function`` on every task; one Finished or Failed for each.

        Closing the generator, or asking ``stop``, ends all work; what had finished by then is still
        told. Nothing is left running.

        Raises:
            UserError: the function cannot be imported, or the place cannot be used.
        """
        ...
