"""Stopping at a place where nothing is lost.

A signal that raises may strike between a result's arrival and its file. Here the first signal only
sets a flag, which the loops look at between two results; a second one raises.
"""

import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stop:
    """A context in which an interrupt, a termination or a hang-up sets ``asked``.

    Signals that were ignored on entry stay ignored. In threads other than the main one, which get
    no signals, ``ask`` is the only way.
    """

    def __init__(self) -> None:
        self.asked = False
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        self.claim()
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def claim(self) -> None:
        """Take the signals, also after a library has taken them."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            current = signal.getsignal(number)
            earlier = self._earlier.setdefault(number, current or signal.SIG_DFL)
            if earlier != signal.SIG_IGN:
                signal.signal(number, self._heard)

    def ask(self) -> None:
        self.asked = True

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
