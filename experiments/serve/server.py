"""The app: the page of viz.app with its callbacks, protected; bound, served and ended cleanly."""

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from dash import Dash

from circuits.errors import UserError
from experiments.serve.answering import Asked, answering
from experiments.serve.callbacks import Callbacks
from experiments.serve.connections import Server
from experiments.serve.maps import Maps
from experiments.serve.security import Access, protect
from experiments.serve.subject import Subject
from experiments.serve.worker import Worker
from viz.app.data import About
from viz.app.layout import page
from viz.app.style import CSS, SCRIPT

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title><style>STYLE</style><script>SCRIPT</script>{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


@contextmanager
def listening(access: Access) -> Iterator[socket.socket]:
    """A socket that listens, before anything is loaded; whoever comes early waits.

    Raises:
        UserError: the port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        listener = socket.create_server((access.host, access.port), family=family, backlog=128)
    except OSError as error:
        raise UserError(
            f"--port {access.port}: cannot listen on {access.host} ({error.strerror}); choose "
            "another, or 0 for any free one"
        ) from error
    with listener:
        yield listener


@contextmanager
def serving(
    subject: Subject, access: Access, listener: socket.socket
) -> Iterator[tuple[Server, Access]]:
    """A server that is not running yet, and where it listens; cleaned up after."""
    with closing(Worker()) as worker:
        # The first pass in a new thread starts its threads and caches: nobody should wait for that.
        worker.submit("warm-up", "answer", answering(subject, Asked("Hello.", length=2)))
        with Server(listener, build(subject, worker, access).server) as server:
            yield server, replace(access, port=server.port)


@contextmanager
def in_background(subject: Subject, access: Access) -> Iterator[str]:
    """Serve from a thread; yields the address."""
    with listening(access) as listener, serving(subject, access, listener) as (server, bound):
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield bound.url
        finally:
            server.shutdown()
            thread.join()


def build(subject: Subject, worker: Worker, access: Access) -> Dash:
    """The Dash app of a subject, protected, ready to be served."""
    index = _INDEX.replace("STYLE", CSS).replace("SCRIPT", SCRIPT)
    app = Dash(
        "gatescope",
        title="gatescope",
        update_title="",
        index_string=index,
        serve_locally=True,
        assets_folder="no-assets",
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = page(about(subject))
    Callbacks(subject, worker).register(app)
    Maps(subject, worker).register(app)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    hashes = [*app.csp_hashes(), f"'sha256-{digest}'"]
    protect(app.server, access, lambda: hashes)  # pyright: ignore[reportArgumentType]
    return app


def about(subject: Subject) -> About:
    """What the page says of a subject."""
    question, gate = subject.question, subject.direction
    name = (
        question.model if question.adapter == "none" else f"{question.adapter} on {question.model}"
    )
    return About(
        title=name,
        headline=subject.headline,
        gate=f"{gate.site} ({gate.estimator})" if gate else "",
        proven=subject.proven,
        trigger=subject.trigger if subject.has_trigger else "",
        control=subject.control,
        examples=subject.examples,
        grids=tuple(subject.grids),
        arms=tuple(subject.arms),
        layers=tuple(subject.layers),
        layer=gate.site.layer if gate else 0,
    )
