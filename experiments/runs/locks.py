"""One process at a time in a directory, and a place that can be written, said before anything runs.

The lock is ``flock`` on a file in the directory: it goes with the process, however that ends. The
file says who holds it and is removed when the lock is given back; one that a killed process has
left locks nothing.
"""

import fcntl
import os
import platform
import re
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from circuits.errors import UserError, expect, writing

LOCK = ".gatescope.lock"
_SCRATCH = re.compile(r"\.(?P<name>.+)-[a-z0-9_]{8}")  # as ``tempfile`` ends a name
_HELD: dict[tuple[int, int, Path], int] = {}  # process, thread, directory -> descriptor


def scratch_of(name: str) -> str | None:
    """The file's name, if this is that of the scratch file it is written through."""
    match = _SCRATCH.fullmatch(name)
    return match["name"] if match else None


def require_place(folder: Path, option: str = "--out") -> None:
    """Whether a directory is or can be made there, and nobody is at it; leaves nothing behind.

    Raises:
        UserError: a file or a link that leads nowhere is there, the name is not UTF-8, or another
            process works there.
        WriteError: it cannot be made: below a file, too long a name, a parent that takes none.
    """
    what, text = _named(folder, option), str(folder)
    is_text = "\0" not in text and text == text.encode(errors="replace").decode()
    expect(is_text, "a name in UTF-8", "other bytes", "choose another", what)
    with writing(folder):
        missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
        links = folder.is_symlink() and not folder.exists()
        expect(not links, "a directory", "a link that leads nowhere", "choose another", what)
        blocked = next((p for p in folder.parents if p.exists() and not p.is_dir()), None)
        expect(not blocked, "a place below directories", f"the file {blocked}", "mend it", what)
        folder.parent.mkdir(parents=True, exist_ok=True)
        is_file = folder.exists() and not folder.is_dir()
        expect(not is_file, "a directory", "a file", "choose another", what)
        folder.mkdir(exist_ok=True)
        for place in missing:
            with suppress(OSError):  # somebody has put something there meanwhile
                place.rmdir()
        path = folder / LOCK
        if path.is_file() and _key(folder) not in _HELD:
            os.close(_locked(path, what, os.O_RDWR))


def hold(folder: Path, option: str = "--out") -> None:
    """Lock a directory, made if need be, for this process; again is no mistake.

    Raises:
        UserError: another process holds it.
        WriteError: it cannot be made.
    """
    what = _named(folder, option)
    with writing(folder):
        while _key(folder) not in _HELD:
            folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # the directory, or the lock, was just given back
                handle = _locked(folder / LOCK, what, os.O_RDWR | os.O_CREAT)
                if not os.path.samestat(os.fstat(handle), os.stat(folder / LOCK)):
                    os.close(handle)
                    continue
                os.truncate(handle, 0)
                since = datetime.now().astimezone().isoformat(" ", "seconds")
                os.pwrite(handle, f"pid {os.getpid()} on {platform.node()}\n{since}\n".encode(), 0)
                _HELD[_key(folder)] = handle


def release(folder: Path) -> None:
    """Give a directory back, if this process holds it."""
    handle = _HELD.pop(_key(folder), None)
    if handle is not None:
        with suppress(OSError):
            (folder / LOCK).unlink()
        os.close(handle)


@contextmanager
def held(folder: Path, option: str = "--out") -> Iterator[None]:
    """A directory that no other process works in as long as this lasts; may be nested.

    Raises:
        UserError: another process holds it.
        WriteError: it cannot be made.
    """
    outermost = _key(folder) not in _HELD
    hold(folder, option)
    try:
        yield
    finally:
        if outermost:
            release(folder)


@contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """A directory to fill beside its place; gone at the end, unless it was renamed.

    A lock lies beside it, so that those of processes that were killed are known, and removed.
    """
    for left in out.parent.iterdir():
        if left.name.endswith(LOCK) and scratch_of(left.name.removesuffix(LOCK)) == out.name:
            with suppress(OSError, UserError):  # somebody is filling it
                os.close(_locked(left, str(left), os.O_RDWR))
                shutil.rmtree(left.with_name(left.name.removesuffix(LOCK)), ignore_errors=True)
                left.unlink()
    with writing(out):
        made, name = tempfile.mkstemp(LOCK, f".{out.name}-", out.parent)
    os.close(made)
    scratch, handle = Path(name.removesuffix(LOCK)), _locked(Path(name), name, os.O_RDWR)
    try:
        scratch.mkdir(mode=0o700)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, what: str, flags: int) -> int:
    """The descriptor of a lock file that this process has locked now."""
    handle = os.open(path, flags, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UserError(f"{what}: {_holder(path)}; wait for it, or choose another") from None
    except OSError as error:
        warnings.warn(f"{what}: cannot be locked ({error.strerror})", stacklevel=1)
    return handle


def _holder(path: Path) -> str:
    """Who says that they hold a lock."""
    for _ in range(20):  # who has it now writes the file now
        with suppress(OSError, ValueError):
            who, since = path.read_text(encoding="utf-8").splitlines()
            if re.fullmatch(r"pid \d+ on [\w.-]*", who) and since.isprintable():
                return f"{who} is at it since {since}"
        time.sleep(0.01)
    return "another process is at it"


def _key(folder: Path) -> tuple[int, int, Path]:
    return os.getpid(), threading.get_ident(), folder.resolve()


def _named(folder: Path, option: str) -> str:
    return f"{option} {folder}".strip()
