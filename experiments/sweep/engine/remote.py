"""What runs on a Ray cluster's nodes: one cell at a time, and an actor that carries progress."""

import json
import socket
from pkgutil import resolve_name
from typing import Any

from experiments.sweep.engine.worker import described, execute, throttled

_BETWEEN = 0.5  # seconds between two messages of progress


class Mailbox:
    """An actor that holds each running cell's latest progress until the driver asks."""

    def __init__(self) -> None:
        self._news: dict[tuple[str, int], tuple[str, int, int]] = {}

    def put(self, name: tuple[str, int], host: str, done: int, total: int) -> None:
        self._news[name] = (host, done, total)

    def take(self) -> dict[tuple[str, int], tuple[str, int, int]]:
        news, self._news = self._news, {}
        return news


def run_remotely(function: str, values: str, name: tuple[str, int], mailbox: Any) -> str:
    """Run a cell on a node. ``values`` and the message that is returned are JSON."""
    host = socket.gethostname()
    mailbox.put.remote(name, host, 0, 0)
    progress = throttled(lambda done, total: mailbox.put.remote(name, host, done, total), _BETWEEN)
    try:
        cell = resolve_name(function)
    except Exception as error:  # importing runs foreign code, and may raise anything
        return json.dumps({"kind": "broken", "host": host, "error": described(error)})
    return json.dumps({"host": host, **execute(cell, json.loads(values), progress)})
