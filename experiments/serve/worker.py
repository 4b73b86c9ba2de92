"""One thread runs the models; jobs are generators that it advances in turn.

torch modules under hooks must not be run from two threads, so whatever touches a model is a *job*:
a generator that yields after a short slice (one token, one pass of a patching grid). The worker
advances the jobs of all tabs round-robin. A job's first slice comes before others' next ones, so
that an answer begins soon however many tabs are busy.

A *session* is a browser's tab. It has at most one job of each kind ("answer", "patch", "arms");
asking again cancels the one before. What a job has found so far is one immutable value with a
version; a poll takes the latest, so a slow or reloaded tab misses nothing. Values are bounded by
the answer's length, sessions by number and idle time.
"""

import sys
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Generic, TypeVar

from circuits.errors import UserError, first_line
from experiments.runs.terminal import printable

T = TypeVar("T")
Job = Generator[T, None, None]
SESSIONS, IDLE_S = 64, 1800.0


@dataclass(frozen=True)
class State(Generic[T]):
    """What is known of a job: its latest value, and whether it goes on.

    Attributes:
        version: grows with every change of any job; 0 is before any job.
        value: the last thing that the job yielded.
        status: idle, waiting, running, done, cancelled or failed.
        message: one line for the user where the job failed.
        asked: the version at which the job was submitted, which tells jobs of a session apart.
    """

    version: int = 0
    value: T | None = None
    status: str = "idle"
    message: str = ""
    asked: int = 0

    @property
    def active(self) -> bool:
        return self.status in ("waiting", "running")


@dataclass
class _Task:
    session: str
    steps: Job[Any]
    state: State[Any]


@dataclass
class _Session:
    seen: float
    tasks: dict[str, _Task] = field(default_factory=dict)


class Worker:
    """Runs jobs until closed. All methods may be called from any thread."""

    def __init__(
        self,
        sessions: int = SESSIONS,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._idle_s, self._clock = sessions, idle_s, clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._fresh: deque[_Task] = deque()
        self._queue: deque[_Task] = deque()
        self._changed = threading.Condition()
        # One count for all sessions: a forgotten session that comes back gets no number twice.
        self._versions = count(1)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model worker", daemon=True)
        self._thread.start()

    def submit(self, session: str, kind: str, job: Job[Any]) -> State[Any]:
        """Start a job; the session's earlier one of this kind is cancelled."""
        with self._changed:
            mine = self._session(session)
            self._cancel(mine, kind)
            version = next(self._versions)
            state = State(version, None, "waiting", asked=version)
            mine.tasks[kind] = task = _Task(session, job, state)
            self._fresh.append(task)
            self._changed.notify()
            return task.state

    def cancel(self, session: str, kind: str) -> State[Any]:
        """Stop a job before its next slice; what it has found stays."""
        with self._changed:
            self._cancel(self._session(session), kind)
        return self.state(session, kind)

    def state(self, session: str, kind: str) -> State[Any]:
        """The latest of a session's job, without waiting for the model."""
        with self._changed:
            task = self._session(session).tasks.get(kind)
            return task.state if task else State()

    def close(self) -> None:
        """Finish the slice under way, drop all jobs and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _session(self, name: str) -> _Session:
        now = self._clock()
        session = self._sessions.setdefault(name, _Session(now))
        session.seen = now
        self._sessions.move_to_end(name)
        while self._sessions:
            oldest = next(iter(self._sessions))
            idle = now - self._sessions[oldest].seen > self._idle_s
            if oldest == name or not (idle or len(self._sessions) > self._limit):
                break
            gone = self._sessions.pop(oldest)
            for kind in list(gone.tasks):
                self._cancel(gone, kind)
        return session

    def _cancel(self, session: _Session, kind: str) -> None:
        task = session.tasks.get(kind)
        if task is not None and task.state.active:
            task.state = replace(task.state, version=next(self._versions), status="cancelled")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._fresh or self._queue)
                if self._closed:
                    return
                task = self._fresh.popleft() if self._fresh else self._queue.popleft()
            self._advance(task)

    def _advance(self, task: _Task) -> None:
        """One slice, outside the lock: polls never wait for the model."""
        if not task.state.active:
            task.steps.close()
            return
        try:
            value, status, message = next(task.steps), "running", ""
        except StopIteration:
            value, status, message = task.state.value, "done", ""
        except Exception as error:  # whatever a job does, its tab is told and other tabs go on
            if not isinstance(error, UserError):
                sys.stderr.write(printable(traceback.format_exc()))
            value, status, message = task.state.value, "failed", first_line(error, 300)
        with self._changed:
            if not task.state.active or task.session not in self._sessions:
                task.steps.close()
                return
            task.state = State(next(self._versions), value, status, message, task.state.asked)
            if status == "running":
                self._queue.append(task)
