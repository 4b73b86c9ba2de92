"""A watch over what code does to the machine: no process is started, no network asked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PROCESSES = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.exec", "os.fork")
_PROCESSES += ("os.forkpty", "pty.spawn", "os.startfile", "webbrowser.open")
_NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "urllib.Request")
_NETWORK += ("socket.getaddrinfo", "socket.gethostbyname", "http.client.connect")
_watching: list[str] | None = None


def _watch(event: str, args: Any) -> None:
    """Refuses whatever starts a process, asks a network or installs, and remembers that it was."""
    if _watching is None:
        return
    installs = event == "import" and str(args[0]).split(".")[0] == "pip"
    if installs or event in (*_PROCESSES, *_NETWORK):
        _watching.append(f"{event} {args!r:.200}")
        raise PermissionError(f"blocked in this test: {event}")


sys.addaudithook(_watch)


@contextmanager
def nothing_acts() -> Iterator[list[str]]:
    """What was tried: loading may swallow a refusal, so that it is looked at afterwards."""
    global _watching
    _watching = []
    try:
        yield _watching
    finally:
        _watching = None
