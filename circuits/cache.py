"""The cache: folders that are built once, checked on use, and never half there.

A folder is built beside its place and renamed. Who builds holds a lock on what he builds in, which
ends with his process, however that ends; what nobody holds is left over, and is removed.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from circuits.errors import UserError, WriteError, writing

VARIABLE = "GATESCOPE_CACHE"
_SCRATCH = "building-"


def cache_root() -> Path:
    """Where gatescope caches models; GATESCOPE_CACHE overrides the user's cache directory."""
    override = os.environ.get(VARIABLE)
    return Path(override) if override else Path(platformdirs.user_cache_dir("gatescope"))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cached(folder: Path, index: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built on first use and anew where it is damaged.

    A process that got there first wins.

    Args:
        index: a file in it, whose ``files`` are the hashes of all others; written last.

    Raises:
        UserError: the cache is no directory that can be written to.
        WriteError: its disk is full.
    """
    with suppress(OSError):  # of a cache that can be read only
        _remove_left_over(folder.parent)
    if is_intact(folder / index):
        return folder
    with _scratch(folder.parent) as scratch, writable(folder.parent):
        build(scratch)
        scratch.chmod(0o755)
        try:
            if folder.exists() and not is_intact(folder / index):
                shutil.rmtree(folder)
            scratch.rename(folder)
        except OSError:
            if not is_intact(folder / index):
                raise
    return folder


def is_intact(index: Path) -> bool:
    """Whether a folder is complete: its files are those of its index, with their hashes."""
    try:
        hashes = json.loads(index.read_text(encoding="utf-8"))["files"]
        names = {path.name for path in index.parent.iterdir() if not path.name.startswith(".")}
        same = names == {*hashes, index.name}
        return same and all(file_sha256(index.parent / n) == digest for n, digest in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Where something is written into the cache: what the system says against it, in one line.

    Raises:
        UserError: the cache is no directory that can be written to.
        WriteError: its disk is full.
    """
    try:
        with writing(folder):
            yield
    except WriteError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"cache {folder}: expected a directory that can be written to, got {error.strerror}; "
            f"name another with {VARIABLE}=DIRECTORY"
        ) from error


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder to build in, locked as long as it is built in, gone afterwards."""
    with writable(parent):
        parent.mkdir(parents=True, exist_ok=True)
        with locked(parent):  # so that nobody takes it for left over before it is locked itself
            scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
            held = os.open(scratch, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(held)


@contextmanager
def locked(folder: Path, wait: int = 0) -> Iterator[None]:
    """One process at a time is in here for a folder; with ``fcntl.LOCK_NB`` nobody waits.

    Raises:
        BlockingIOError: another is, and is not waited for.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | wait)
        yield
    finally:
        os.close(handle)


def _remove_left_over(parent: Path) -> None:
    """Remove what was being built when its process was killed."""
    if not any(parent.glob(f"{_SCRATCH}*")):
        return
    with locked(parent):
        for scratch in parent.glob(f"{_SCRATCH}*"):
            with suppress(OSError), locked(scratch, fcntl.LOCK_NB):
                shutil.rmtree(scratch, ignore_errors=True)
