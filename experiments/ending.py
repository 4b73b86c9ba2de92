"""What stands around every command: its streams, and the line and the status with which it ends."""

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence

from circuits.errors import SelfTestError, UserError, WriteError, first_line
from experiments.runs import interrupts
from experiments.runs.terminal import printable, standard_output, tell

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BYTES = re.compile(r"allocate ([\d.]+ ?(?:bytes|[KMGTP]i?B))")


def open_streams() -> None:
    """Streams that were closed lead nowhere, and any character can be written to the others."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # otherwise a file opened later would be taken for standard output
    os.close(handle)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (for as long as we live)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore


def check_place(words: Sequence[str]) -> None:
    """That there is a working directory, and that words of a command line are text.

    Raises:
        UserError: no.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(
            f"working directory: expected one that is there, got {error.strerror}; "
            "change to another"
        ) from error
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"argument {word!a}: expected UTF-8, got other bytes, or a locale that is not "
                "UTF-8; set LC_ALL=C.UTF-8, or give another name"
            ) from error


def guarded(command: Callable[[], None]) -> int:
    """Run a command: its status, and one line for whatever a user can do something about.

    0 done, 1 the command's own or a mistake of ours, 2 a mistake of the user's, 3 what the machine
    refuses (files, memory), 128 and more a signal.
    """
    try:
        try:
            command()
        finally:
            with standard_output():
                sys.stdout.flush()
        return 0
    except SystemExit as stop:  # the command line framework turns an interrupt into this
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if status in interrupts.STATUSES:
            tell(interrupts.STOPPED)
        return status
    except KeyboardInterrupt:
        tell(interrupts.STOPPED)
        return 130
    except (UserError, SelfTestError) as error:
        tell(f"gatescope: {error}", "red")
        return 2
    except OSError as error:
        tell(f"gatescope: {refused(error)}", "red")
        return 3
    except Exception as error:
        if size := too_big(error):
            tell(f"gatescope: {size}", "red")
            return 3
        sys.stderr.write(printable(traceback.format_exc()))
        tell(
            "gatescope: this is a mistake in gatescope, not in what you asked: please report the "
            "lines above as CONTRIBUTING.md says; what was measured is kept, continue with "
            "--resume"
        )
        return 1


def refused(error: OSError) -> str:
    """What the system refused, as one line: reading or writing, where, and what to do."""
    why = error.strerror or first_line(error)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"cannot open {error.filename}: {why}; allow more (ulimit -n), or run less at once"
    if error.errno in _NO_ROOM:
        where = error.filename or f"standard output or temporary files in {tempfile.gettempdir()}"
        return (
            f"cannot write {where}: {why}; what was finished is kept, free space and start again "
            "(with --resume where there is one), or choose another place"
        )
    if isinstance(error, WriteError) or error.errno == errno.EROFS:
        return (
            f"cannot write {error.filename}: {why}; what was finished is kept, choose another "
            "place, or see who may write there"
        )
    if error.filename is None:
        return f"the system refused: {why}; what was finished is kept, continue with --resume"
    return f"cannot read {error.filename}: {why}; check the path, and who may read it"


def too_big(error: Exception) -> str:
    """What did not fit into memory, as one line; nothing if it is not that."""
    text = str(error)
    named = ("can't allocate memory", "out of memory", "not enough memory")
    if not isinstance(error, MemoryError) and not (
        isinstance(error, RuntimeError) and any(words in text.lower() for words in named)
    ):
        return ""
    size = _BYTES.search(text)
    asked = f"{_rounded(size[1])} at once" if size else "more than there is"
    during = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return (
        f"not enough memory{during}: {asked} was asked for; lower the counts and lengths "
        "(--help has them), take a smaller model or --dtype bf16, or a larger machine; what was "
        "finished is kept, continue with --resume"
    )


def _rounded(size: str) -> str:
    number, unit = size.split() if " " in size else (size, "")
    return f"{float(number) / 2**30:.1f} GiB" if unit == "bytes" else size
