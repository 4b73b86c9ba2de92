"""A worker: runs one cell after the other, in a process that outlives them all.

Started as ``python -m experiments.sweep.engine.worker LINE PARENT MODULE:FUNCTION``, where LINE is
an inherited socket. JSON texts go over it: values in, progress and results out. Nothing heavy is
imported here, so that a thread count in the environment is there before the maths libraries are.

On a Ray cluster's nodes ``run_remotely`` runs one cell; an actor (``Mailbox``) carries progress.
"""

import json
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pkgutil import resolve_name
from typing import Any

Progress = Callable[[int, int], None]
CellFunction = Callable[[Mapping[str, Any], Progress], Mapping[str, Any]]
Name = tuple[str, int]  # a cell's key and the attempt
_BETWEEN, _BETWEEN_NODES = 0.1, 0.5  # seconds between two messages of progress
_LOOK = 0.3  # seconds between two looks at the parent


def imported(function: str) -> CellFunction | dict[str, Any]:
    """A cell's function, or the message that it cannot be imported."""
    try:
        return resolve_name(function)
    except Exception as error:  # importing runs foreign code, and may raise anything
        return {"kind": "broken", "error": _described(error)}


def execute(cell: CellFunction, values: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Run a cell; its row, or what it raised, as a message (JSON)."""
    begun = time.perf_counter()
    try:
        outcome = {"row": checked_row(values, cell(dict(values), progress))}
    # Whatever a cell raises belongs to that cell and is recorded; a call of exit() likewise.
    except (Exception, SystemExit) as error:
        outcome = {"error": _described(error)}
    return {"kind": "ended", "seconds": time.perf_counter() - begun, **outcome}


def _described(error: BaseException) -> dict[str, str]:
    """An exception as text."""
    trace = "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error), "traceback": trace}


def checked_row(values: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The row, if a table can hold it beside the cell's values.

    Raises:
        TypeError, ValueError: it is not flat JSON (or flat lists of it), has NaN, or contradicts
            the values.
    """
    if not isinstance(row, Mapping):
        raise TypeError(f"row: expected a mapping, got {type(row).__name__}")
    for name, value in row.items():
        if not isinstance(name, str):
            raise TypeError(f"row: expected names, got {name!r}")
        for one in value if isinstance(value, list) else [value]:
            _check_value(name, one)
        if name == "cell" or (name in values and values[name] != value):
            raise ValueError(f"row: {name}: expected another name, this one is the cell's own")
    return dict(row)


def _check_value(name: str, value: Any) -> None:
    if not isinstance(value, str | int | float | bool | None):
        got = type(value).__name__
        raise TypeError(f"row: {name}: expected flat JSON or a list of it, got {got}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"row: {name}: expected a finite number, got {value}; give None")


def throttled(send: Callable[[int, int], None], seconds: float) -> Progress:
    """Pass on a cell's progress, but the last step, no more often than this."""
    last = -math.inf

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds or done >= total:
            last = now
            send(int(done), int(total))

    return progress


def main(arguments: list[str]) -> None:
    """Serve a parent until it hangs up."""
    handle, parent, function = int(arguments[0]), int(arguments[1]), arguments[2]
    os.set_inheritable(handle, False)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    with Connection(handle) as line:
        try:
            _serve(line, function)
        except (EOFError, ConnectionError):
            return


def _serve(line: Connection, function: str) -> None:
    def send(message: Mapping[str, Any]) -> None:
        line.send_bytes(json.dumps(message).encode())

    cell = imported(function)
    if isinstance(cell, dict):
        return send(cell)
    send({"kind": "ready"})
    while True:
        values = json.loads(line.recv_bytes())
        progress = throttled(
            lambda done, total: send({"kind": "progress", "done": done, "total": total}), _BETWEEN
        )
        send(execute(cell, values, progress))


class Mailbox:
    """An actor that holds each running cell's latest progress until the driver asks."""

    def __init__(self) -> None:
        self._news: dict[Name, tuple[str, int, int]] = {}

    def put(self, name: Name, host: str, done: int, total: int) -> None:
        self._news[name] = (host, done, total)

    def take(self) -> dict[Name, tuple[str, int, int]]:
        news, self._news = self._news, {}
        return news


def run_remotely(function: str, values: str, name: Name, mailbox: Any) -> str:
    """Run a cell on a node. ``values`` and the message that is returned are JSON."""
    host = socket.gethostname()
    post = partial(mailbox.put.remote, name, host)
    post(0, 0)
    cell = imported(function)
    if not isinstance(cell, dict):
        cell = execute(cell, json.loads(values), throttled(post, _BETWEEN_NODES))
    return json.dumps({**cell, "host": host})


def _die_with(parent: int) -> None:
    """End this process and what it started once the parent is gone, in mid-cell too."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
