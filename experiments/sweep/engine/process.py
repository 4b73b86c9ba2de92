"""A worker process, as its parent sees it.

A fresh interpreter in a session of its own, joined by a socket over which JSON texts go. It is
started as a module (``worker.py``), not by ``multiprocessing``, which would run the caller's main
script again in each and could not give them an environment. Ending it kills its process group, so
that what a cell has started ends too; a worker whose parent is gone does the same by itself.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from experiments.sweep.engine.executor import Task

_TAIL = 4000  # bytes of a dead worker's output that are kept


def thread_environment(threads: int) -> dict[str, str]:
    """What makes the maths libraries use so many threads, and let them sleep while they wait."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "false",
    }


class WorkerProcess:
    """One process, the line to it, and the cell it is at."""

    def __init__(self, function: str, environment: Mapping[str, str]) -> None:
        self.line, theirs = Pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
        fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_APPEND)  # it may be cut while it is written
        handle = theirs.fileno()
        imports = os.pathsep.join(path or os.getcwd() for path in sys.path)  # found there as here
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-X",
                    "faulthandler",
                    "-m",
                    "experiments.sweep.engine.worker",
                    str(handle),
                    str(os.getpid()),
                    function,
                ],
                env={**os.environ, **environment, "PYTHONPATH": imports},
                pass_fds=(handle,),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
            )
        finally:
            theirs.close()
        self.ready = False
        self._deaf = False
        self.task: Task | None = None
        self.begun = 0.0

    @property
    def alive(self) -> bool:
        return not self._deaf and self._process.poll() is None

    @property
    def death(self) -> str:
        """How it ended; it has."""
        status = self._process.wait()
        return f"died with signal {-status}" if status < 0 else f"exited with status {status}"

    def begin(self, task: Task) -> None:
        """Hand over a cell. One who has died meanwhile is found dead with it."""
        self.task, self.begun = task, time.monotonic()
        self._output.truncate(0)
        with suppress(ConnectionError):
            self.line.send_bytes(json.dumps(dict(task.values)).encode())

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """What has arrived, without waiting."""
        try:
            while self.line.poll():
                yield json.loads(self.line.recv_bytes())
        except (EOFError, OSError):  # the dead say nothing, or half of a message
            self._deaf = True

    def output(self) -> str:
        """The end of what it printed since it began its cell."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _TAIL))
        return self._output.read().decode(errors="replace")

    def end(self, patience: float) -> None:
        """Hang up, and end it with all that it started. Safe to call twice."""
        self.line.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        with suppress(ProcessLookupError, PermissionError):  # none is left, or a Mac's zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
