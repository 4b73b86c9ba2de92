"""The two ways gatescope says no: the input was wrong, or the model did not behave as promised."""

import os
import re
import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHOWN = 3


class UserError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: what was expected, what came, where, and what to do. The command line
    prints it and exits with status 2. What it quotes may be foreign: see :func:`one_line`.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


def one_line(text: str, most: int = 2000) -> str:
    """Text as a terminal may show it: what would act on it is spelled, and so are line breaks.

    Of more than ``most`` characters the middle is left out.
    """
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-most // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def expect(holds: object, wanted: str, got: object, advice: str = "", of: str = "") -> None:
    """Raises UserError unless it holds: `of: expected wanted, got got; advice`."""
    if not holds:
        head, tail = f"{of}: " if of else "", f"; {advice}" if advice else ""
        raise UserError(f"{head}expected {wanted}, got {got}{tail}")


def quoted(value: Any) -> str:
    """A value as Python writes it, cut to what fits into a line."""
    return _SHORT.repr(value)


def listed(names: Iterable[str]) -> str:
    """The first few names of many."""
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")


def first_line(error: BaseException, most: int | None = 200) -> str:
    """What an error says in its first line, at most so many characters of it; else its type.

    A line that ends in a colon says nothing without the next.
    """
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    return (f"{first} {rest[0].strip()}" if rest and first.endswith(":") else first)[:most]


def reason(error: BaseException, most: int = 200) -> str:
    """What lies behind an error: the first line of the cause at its chain's end, with its type.

    Libraries wrap the cause ("could not load X") and say it behind several of their own sentences;
    a KeyError or an AssertionError says nothing without its type.
    """
    while error.__cause__ or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    said = first_line(error, most)
    return said if said == type(error).__name__ else f"{said} ({type(error).__name__})"


@contextmanager
def reading(what: str, expected: str, advice: str) -> Iterator[None]:
    """Where a library reads what the user gave: whatever it raises becomes one line.

    Files are foreign, and readers raise anything: transformers, peft, safetensors, pyarrow, jinja2,
    gguf. A ``UserError`` goes through as it is.

    Args:
        what: is read, such as ``adapter a/b``.
        expected: of it, such as ``a LoRA adapter as PEFT writes it``.
        advice: what to do.

    Raises:
        UserError: with the cause at the end of the error's chain.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what}: expected {expected}, got {reason(error)}; {advice}") from error


class WriteError(OSError):
    """A place could not be written: errno, what the system says of it, and the place."""


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Where something is written: what the system says against it comes with the place's name.

    Libraries that write by themselves say "(os error 28)" in errors of their own.

    Raises:
        WriteError: as above.
    """
    try:
        yield
    except (WriteError, UserError):
        raise
    except OSError as error:
        raise WriteError(error.errno, error.strerror or str(error), str(place)) from error
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise WriteError(int(number[1]), os.strerror(int(number[1])), str(place)) from error


class SelfTestError(RuntimeError):
    """A loaded model failed its self-test: its hooks cannot be trusted, nothing is measured."""
