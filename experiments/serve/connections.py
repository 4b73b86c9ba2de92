"""A server that nobody can stall: how many connections there are, and how long each may take.

A connection carries one request. It is *asking* until its head and its body have come, then it is
*answered*; both have a time in all, so that a byte now and then does not buy more. Connections are
bounded, and fewer where the process may open few files. When all are taken, a new one is let in by
ending the oldest that is still asking, or else the oldest: whoever sends a whole request at once is
answered, however many others hold half of one.
"""

import errno
import io
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from experiments.serve.security import MOST_BYTES

MOST, ASKING_S, ANSWERED_S = 100, 15.0, 60.0
_YOUNG_S = 0.1  # nobody who has just come is sent away


@dataclass
class _Connection:
    socket: socket.socket
    begun: float
    answered: bool = False
    ended: bool = False

    def end(self) -> None:
        """Whoever reads or writes it stops."""
        self.ended = True
        with suppress(OSError):  # the other side was first
            self.socket.shutdown(socket.SHUT_RDWR)


class Connections:
    """Those that are open. All methods may be called from any thread."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._open: dict[int, _Connection] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, one: socket.socket) -> None:
        with self._changed:
            self._open[id(one)] = _Connection(one, self._clock())

    def answered(self, one: socket.socket) -> None:
        """Its request has come."""
        with self._changed:
            if connection := self._open.get(id(one)):
                connection.answered, connection.begun = True, self._clock()

    def leave(self, one: socket.socket) -> None:
        with self._changed:
            self._open.pop(id(one), None)
            self._changed.notify_all()

    def make_room(self) -> None:
        """Wait until there is room for one more, ending the oldest."""
        with self._changed:
            while len(self._open) >= self.most:
                self._end_oldest()
                self._changed.wait(0.02)

    def end_oldest(self) -> None:
        """The process may open no more files."""
        with self._changed:
            self._end_oldest()
            self._changed.wait(0.02)

    def end_overdue(self) -> None:
        """Those whose time is over."""
        with self._changed:
            for one in self._open.values():
                if self._clock() - one.begun > (ANSWERED_S if one.answered else ASKING_S):
                    one.end()

    def _end_oldest(self) -> None:
        grown = self._clock() - _YOUNG_S
        left = [one for one in self._open.values() if not one.ended and one.begun < grown]
        if left:
            min(left, key=lambda one: (one.answered, one.begun)).end()


class Server(ThreadedWSGIServer):
    """Answers from threads, no more of them than connections, on a socket that listens already."""

    def __init__(self, listener: socket.socket, app: Any) -> None:
        host, port = listener.getsockname()[:2]
        self.connections = Connections(min(MOST, max(8, _files_left() // 2)))
        super().__init__(host, port, app, _Handler, fd=listener.fileno())

    def get_request(self) -> tuple[Any, Any]:
        self.connections.make_room()
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.connections.end_oldest()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.enter(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.connections.leave(request)

    def service_actions(self) -> None:
        super().service_actions()
        self.connections.end_overdue()


class _Handler(WSGIRequestHandler):
    """Reads a whole request before the app sees it, and does not print every poll."""

    protocol_version = "HTTP/1.1"
    timeout = ASKING_S  # of one read or write
    server: Server

    def run_wsgi(self) -> None:
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= MOST_BYTES:  # the app refuses longer ones
            self.rfile = io.BytesIO(self.rfile.read(int(length)))
        self.server.connections.answered(self.connection)
        super().run_wsgi()

    def log_request(self, *_args: object, **_kwargs: object) -> None:
        """Nothing."""

    def log_error(self, *_args: object) -> None:
        """Nothing: of requests that make none, and of those that took too long."""


def _files_left() -> int:
    """How many files the process may still open."""
    try:
        import resource
    except ImportError:  # no such limit on this system
        return 2 * MOST
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2 * MOST if soft == resource.RLIM_INFINITY else soft - len(os.listdir("/dev/fd"))
