"""What a command does to the machine: processes it starts, addresses it asks, files it writes.

Python tells of these before they happen. ``watching`` notes them in this process; as a program,
``watch.py RESULT WORD... [+ WORD...]`` runs ``gatescope WORD...``, one command after the other,
watched from before their imports, and writes the acts of each as JSON. Libraries that write without
Python are seen by what lies about afterwards.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROCESSES = {
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "os.system",
    "os.startfile",
    "pty.spawn",
    "webbrowser.open",
}
_SOCKETS = {
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
}
_WRITES = {  # and how many of the arguments are paths
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.remove": 1,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.utime": 1,
    "os.setxattr": 1,
    "os.rename": 2,
    "os.link": 2,
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Act:
    """Something that a command did: ``process``, ``socket`` or ``write``, and what Python says."""

    kind: str
    what: str


_acts: list[Act] | None = None  # where acts are noted; None while nobody watches
_allowed: tuple[str, ...] = ()
_hooked = False


@contextmanager
def watching(*places: Path) -> Iterator[list[Act]]:
    """What this process does meanwhile; writing below the places is no act."""
    global _acts, _allowed, _hooked
    if not _hooked:
        sys.addaudithook(_heard)
        _hooked = True
    earlier = _acts, _allowed
    _acts = noted = []
    _allowed = tuple(os.path.realpath(place) for place in places)
    try:
        yield noted
    finally:
        _acts, _allowed = earlier


def _heard(event: str, args: Sequence[object]) -> None:
    if _acts is None:
        return
    if event in _PROCESSES:
        _acts.append(Act("process", f"{event} {args[:2]!r}"))
    elif event in _SOCKETS:
        _acts.append(Act("socket", f"{event} {args[-1]!r}"))
    elif event == "os.symlink":
        _acts.extend(_writes(event, args[1:2]))
    elif event == "os.mkdir" and os.path.isdir(str(args[0])):
        pass  # it is there already
    elif event in _WRITES:
        _acts.extend(_writes(event, _paths(event, args)))
    elif event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
        _acts.extend(_writes(event, args[:1]))


def _paths(event: str, args: Sequence[object]) -> Sequence[object]:
    """The paths of an event; one that is relative to an open directory is read from there."""
    count = _WRITES[event]
    if event in ("os.truncate", "os.setxattr"):
        return args[:count]
    return [_below(path, folder) for path, folder in zip(args[:count], args[-count:], strict=True)]


def _below(path: object, folder: object) -> object:
    if isinstance(path, str | bytes) and isinstance(folder, int) and folder >= 0:
        place = os.path.realpath(f"/proc/self/fd/{folder}")
        return os.path.join(place, os.fsdecode(path))
    return path


def _writes(event: str, paths: Sequence[object]) -> list[Act]:
    return [Act("write", f"{event} {path!r}") for path in paths if not _is_allowed(path)]


def _is_allowed(path: object) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return True  # a descriptor: its opening was heard
    # Not the last part: what is removed or replaced may be a link.
    head, tail = os.path.split(os.path.abspath(os.fsdecode(path)))
    whole = os.path.join(os.path.realpath(head), tail)
    own = any(whole == place or whole.startswith(f"{place}{os.sep}") for place in _allowed)
    # Devices and what the kernel shows as files keep nothing.
    return own or whole.startswith(("/dev/", "/proc/")) or "__pycache__" in whole


def main() -> None:
    """As a program."""
    result, words = Path(sys.argv[1]), sys.argv[2:]
    sys.path.insert(0, str(Path(__file__).parents[1]))
    here = [Path.cwd(), Path(tempfile.gettempdir()), Path(os.environ["GATESCOPE_CACHE"])]
    about = []
    while words:
        end = words.index("+") if "+" in words else len(words)
        sys.argv, words = ["gatescope", *words[:end]], words[end + 1 :]
        with watching(*here) as acts:
            status = _status()
        about.append([status, [[act.kind, act.what] for act in acts]])
    result.write_text(json.dumps(about))


def _status() -> object:
    from experiments.cli import main as command

    try:
        command()
    except SystemExit as stop:
        return stop.code or 0
    return None


if __name__ == "__main__":
    main()
