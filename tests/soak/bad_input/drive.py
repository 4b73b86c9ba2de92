"""One case in a process of its own, forked from one that has imported everything; and what came.

A case is right if it ends as expected: refused in one line that names what is wrong, or accepted.
Otherwise it is a traceback, accepted or refused though wrong, unclear, without end, it ran code
that came with the input, or it left something half-written behind.
"""

import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LIMIT_S, ROOM = 20.0, 4 * 2**30  # of a case: seconds, and bytes beyond what is mapped already
CANARY = "canary"  # hostile inputs write it into the working directory
_SCRATCH = re.compile(r"^\..+-[\w]{6,}$|^building-|\.tmp$")
_LONG = 8000  # characters of a refusal, the longest path in it
_UNREAD = 128 + 13  # as a shell tells that nobody read on, which is no mistake
OUTCOMES = (
    "right",
    "traceback",
    "accepted though wrong",
    "refused though good",
    "unclear",
    "no end",
    "code run",
    "left behind",
)


@dataclass(frozen=True)
class Case:
    """Something that a user gives, and what must come of it.

    Attributes:
        area: prompts, trigger, adapter, model, run directory, yaml, flags, world or python.
        make: writes the input into the working directory, given the shared inputs.
        ask: what is typed after ``gatescope``, or what a notebook calls.
        says: a pattern that the refusal (or, if it is accepted, what is printed) must have.
        accepted: whether it must be accepted rather than refused.
        leaves: whether a refused run may leave what it had measured.
        until: printed by a command that does not end by itself; it is then stopped.
        env: of the process; None takes a variable away.
    """

    name: str
    area: str
    ask: tuple[str, ...] | Callable[[], Any]
    says: str
    make: Callable[[Path], Any] = lambda shared: None
    accepted: bool = False
    leaves: bool = False
    until: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict)
    limit_s: float = LIMIT_S

    @property
    def asked(self) -> str:
        return " ".join(self.ask) if isinstance(self.ask, tuple) else "python"


@dataclass(frozen=True)
class Outcome:
    """What came of a case: its class, the status, what it said, seconds."""

    name: str
    area: str
    what: str
    status: int
    said: str
    seconds: float


@contextmanager
def workplace() -> Iterator[Path]:
    """A directory for inputs and cases, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="gatescope-soak-") as place:
        yield Path(place)


def run(case: Case, shared: Path, folder: Path) -> Outcome:
    """Run a case in a new directory and say what came of it."""
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(case, shared, folder)
    status = _waited(child, case, folder, began)
    out, err = (_read(folder / name) for name in ("stdout", "stderr"))
    seconds = time.monotonic() - began
    before = set(_read(folder / "before").split("\n"))
    return classified(case, status, out, err, work, before, seconds)


def classified(
    case: Case,
    status: int | None,
    out: str,
    err: str,
    work: Path,
    before: set[str],
    seconds: float = 0.0,
) -> Outcome:
    """The class of what a process left: its status (None: stopped at the limit), and its words."""
    lines = [line for line in err.splitlines() if line.startswith("gatescope: ")]
    said = lines[-1].removeprefix("gatescope: ") if lines else " ".join((err or out).split())[-300:]
    usage = status == 2 and ("Usage: " in err or "\u2500 Error \u2500" in err)
    new = _new(work, before)
    status = 0 if status == _UNREAD else status
    if (work / CANARY).exists():
        what = "code run"
    elif status is None:
        what = "no end"
    elif "Traceback (most recent call last)" in err or status < 0 or status not in (0, 1, 2, 3):
        what, said = "traceback", " ".join(err.split())[-300:]
    elif any(_SCRATCH.search(Path(name).name) for name in new):
        what, said = "left behind", " ".join(new)[:300]
    elif case.accepted:
        told = re.search(case.says, out + "\n" + err, re.IGNORECASE)
        what = "refused though good" if status in (2, 3) else "right" if told else "unclear"
    elif status in (0, 1):
        what = "accepted though wrong"
    elif (not usage and (len(lines) != 1 or len(said) > _LONG)) or not re.search(
        case.says, " ".join(err.split()) if usage else said, re.IGNORECASE
    ):
        what = "unclear"
    elif new and not case.leaves:
        what, said = "left behind", " ".join(new)[:300]
    else:
        what = "right"
    return Outcome(case.name, case.area, what, -1 if status is None else status, said, seconds)


def _new(work: Path, before: set[str]) -> list[str]:
    there = {str(path.relative_to(work)) for path in work.rglob("*")} if work.is_dir() else set()
    return sorted(there - before)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _waited(child: int, case: Case, folder: Path, began: float) -> int | None:
    """The child's status, negative for a signal; None where it had to be stopped."""
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _stop(child)  # what it started
            return os.waitstatus_to_exitcode(status)
        shown = case.until and re.search(case.until, _read(folder / "stdout"))
        late = time.monotonic() - began > case.limit_s
        if shown or late:
            _stop(child)
            os.waitpid(child, 0)
            return 0 if shown else None
        time.sleep(0.02)


def _stop(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _child(case: Case, shared: Path, folder: Path) -> None:
    """Never returns."""
    os.setsid()
    status = 1
    try:
        for number, name in enumerate(("stdout", "stderr"), 1):
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _restore_streams()
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        os.chdir(folder / "work")
        case.make(shared)
        _restore_streams()  # they may lead elsewhere now
        work = folder / "work"
        there = [str(path.relative_to(work)) for path in work.rglob("*")]
        (folder / "before").write_text("\n".join(there), encoding="utf-8", errors="replace")
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, mapped + ROOM))
        for name, value in case.env.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        status = typed(case.ask) if isinstance(case.ask, tuple) else _called(case.ask)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status & 0xFF)


def _restore_streams() -> None:
    """Standard streams on the files, and consoles that write to them."""
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def typed(words: tuple[str, ...]) -> int:
    """The status of a command line, run in this process."""
    from experiments import cli

    sys.argv = ["gatescope", *words]
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _called(ask: Callable[[], Any]) -> int:
    from circuits.errors import SelfTestError, UserError

    try:
        print(ask())
    except (UserError, SelfTestError) as error:
        print(f"gatescope: {error}", file=sys.stderr)
        return 2
    return 0
