"""A call in a process of its own, forked from this one, which may be killed; and how it ended."""

import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from circuits.errors import UserError

PATIENCE = 120.0  # seconds for a call that hangs


@dataclass(frozen=True)
class Ended:
    """How a process ended: its status (negative: by that signal) and its last line."""

    status: int
    said: str
    seconds: float


def forked(call: Callable[[], object], kill_after: float | None = None) -> Ended:
    """Run a call in a fork, which gets ``SIGKILL`` after so many seconds."""
    said, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(said)
        _in_child(call, write)
    os.close(write)
    began = time.perf_counter()
    end = began + (PATIENCE if kill_after is None else kill_after)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.perf_counter() > end:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            break
        time.sleep(0.002)
    seconds = time.perf_counter() - began
    with os.fdopen(said, "rb") as file:
        text = file.read().decode(errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), text, seconds)


def _in_child(call: Callable[[], object], write: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    status, said = outcome(call)
    os.write(write, said.encode()[-4000:])
    os._exit(status)


def outcome(call: Callable[[], object]) -> tuple[int, str]:
    """The status that a command would end with, and what it would say of an error."""
    try:
        call()
    except UserError as error:  # one line
        return 2, str(error)
    except BaseException:
        return 1, traceback.format_exc()
    return 0, ""
