"""What a signal does to a command: it ends, with one line and the status that shells expect.

While modules load there is nothing to clean up, and an exception in the middle of an import could
surface as anything: there a signal ends the process at once. Later it raises, so that scratch files
are removed and workers stopped: an interrupt ``KeyboardInterrupt`` as ever, the others
``SystemExit``.
"""

import os
import signal
from contextlib import suppress
from typing import Any, NoReturn

STOPPED = (
    "gatescope: stopped; what was finished is kept, continue with --resume (a sweep needs no word)"
)
_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STATUSES = frozenset(128 + number for number in _ENDING)


def at_once() -> None:
    """Signals end the process where it stands. A closed pipe ends it silently, as is usual."""
    _handle(_leave)
    _pipes(signal.SIG_DFL)


def gently() -> None:
    """Signals raise. A closed pipe raises too: a server's clients come and go."""
    _handle(_raise)
    _pipes(signal.SIG_IGN)


def _handle(handler: Any) -> None:
    """Ignored signals stay ignored (``nohup``); threads but the main one get none."""
    for number in _ENDING:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            with suppress(ValueError):  # not in the main thread
                signal.signal(number, handler)


def _pipes(handler: Any) -> None:
    if hasattr(signal, "SIGPIPE"):
        with suppress(ValueError):
            signal.signal(signal.SIGPIPE, handler)


def _leave(number: int, _frame: Any) -> NoReturn:
    try:
        os.write(2, f"{STOPPED}\n".encode())
    finally:
        os._exit(128 + number)


def _raise(number: int, _frame: Any) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
