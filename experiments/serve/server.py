"""Bind, serve, and end cleanly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from circuits.errors import UserError
from experiments.serve.answering import Asked, answering
from experiments.serve.app import build
from experiments.serve.security import Access
from experiments.serve.subject import Subject
from experiments.serve.worker import Worker


class _Quiet(WSGIRequestHandler):
    """Keeps connections open, and does not print every poll."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_args: object, **_kwargs: object) -> None:
        """Nothing."""


@contextmanager
def serving(subject: Subject, access: Access) -> Iterator[tuple[BaseWSGIServer, Access]]:
    """A bound server that is not running yet, and where it listens; cleaned up after.

    Raises:
        UserError: the port is taken.
    """
    worker = Worker()
    # The first pass in a new thread starts its threads and caches: nobody should wait for that.
    worker.submit("warm-up", "answer", answering(subject, Asked("Hello.", length=2)))
    try:
        try:
            server = make_server(
                access.host, access.port, _no_app, threaded=True, request_handler=_Quiet
            )
        except (OSError, SystemExit) as error:
            raise UserError(
                f"--port {access.port}: cannot listen on {access.host} ({error}); choose another, "
                "or 0 for any free one"
            ) from error
        bound = replace(access, port=server.port)
        server.app = build(subject, worker, bound).server  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield server, bound
        finally:
            server.server_close()
    finally:
        worker.close()


@contextmanager
def in_background(subject: Subject, access: Access) -> Iterator[str]:
    """Serve from a thread; yields the address."""
    with serving(subject, access) as (server, bound):
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield bound.url
        finally:
            server.shutdown()
            thread.join()


def _no_app(_environ: object, _start: object) -> list[bytes]:
    raise RuntimeError("the app is set before requests are served")
