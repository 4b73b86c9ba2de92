"""The terminal's edge: everything that a command prints goes through here.

Names, triggers and answers come from foreign files. A terminal obeys some characters (escape
sequences set titles, move the cursor, hide lines; marks of direction reorder them), so these are
written as Python spells them.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from circuits.errors import WriteError

# Controls but for tab and line feed, marks of direction, what has no width (but for the joiners
# that scripts and emoji need), line and paragraph separators, halves of surrogate pairs, tags.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """A text without characters that a terminal obeys; its lines and tabs stay."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str) -> str:
    """A text as a single printable line."""
    return printable(text).replace("\n", "\\n")


class _Console(Console):
    """Rich's console; its own controls pass, those in texts do not."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


CONSOLE = _Console(stderr=True)


def say(*texts: Any) -> None:
    """Print on standard output.

    Raises:
        SystemExit: nobody reads it any more (status 141, as a signal would end it).
        WriteError: there is no room for it.
    """
    with standard_output():
        sys.stdout.write(printable(" ".join(map(str, texts))) + "\n")
        sys.stdout.flush()


def tell(line: str, style: str = "") -> None:
    """Print a line on standard error, whatever is in it; if that cannot be written, nothing."""
    with suppress(OSError):
        CONSOLE.print(
            one_line(line), style=style, markup=False, highlight=False, emoji=False, soft_wrap=True
        )


@contextmanager
def standard_output() -> Iterator[None]:
    """Where it is written to."""
    try:
        yield
    except BrokenPipeError:
        _silence()
        raise SystemExit(141) from None
    except OSError as error:
        _silence()
        raise WriteError(error.errno, error.strerror, "standard output") from error


def _silence() -> None:
    """What is still buffered goes nowhere, so that the interpreter's end has nothing to say."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
