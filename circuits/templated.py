"""A conversation as its chat template writes it, and where in that the user's message stands.

A template is a program of somebody else's: it may raise anything, write anything, never end.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from os.path import commonprefix
from typing import Any

from jinja2 import Environment, TemplateError

from circuits.errors import UserError, expect, first_line

_MARKER = "gatescope-places-the-message-here"  # no template has it
_SECONDS = 2.0  # of this process's own time; templates take milliseconds
_TIMES = 5  # of a template that draws at random some differ
_MOST = 1_000_000  # characters around a message
_OF = "chat template"
_ADVICE = "give another template (--template FILE)"


def templated(tokenizer: Any, message: str, system: str | None) -> tuple[str, int]:
    """The prompt, and where in it the message begins.

    Raises:
        UserError: the template fails, does not end, or does not keep what it is given.
    """
    full = applied(tokenizer, message, system)
    start = _place(tokenizer, full, message, system)
    for what, text, kept in (
        ("prompt", message, start is not None),
        ("system", system or "", (system or "") in full),
    ):
        if not kept:
            raise UserError(
                f"{what} {text[:60]!r}: the chat template does not keep it as it is; {_ADVICE}"
            )
    return full, start or 0


def around(tokenizer: Any, system: str | None = None) -> tuple[str, ...]:
    """What the template writes before, after and (if it repeats it) between user's messages."""
    return _pieces(tokenizer, str(tokenizer.chat_template), system)


@lru_cache(maxsize=32)
def _pieces(tokenizer: Any, template: str, system: str | None) -> tuple[str, ...]:
    written = {applied(tokenizer, _MARKER, system) for _ in range(_TIMES)}
    expect(len(written) == 1, "one that writes the same each time", "several texts", _ADVICE, _OF)
    return tuple(written.pop().split(_MARKER))


def _place(tokenizer: Any, full: str, message: str, system: str | None) -> int | None:
    """Where the message begins; where it is repeated, the last time; None if it is not kept.

    A marker in its place shows what is the template's. A template that writes something else
    around some messages, or changes the marker, is read where its texts for two messages differ.
    """
    pieces = around(tokenizer, system)
    if len(pieces) > 1 and message.join(pieces) == full:
        return len(full) - len(pieces[-1]) - len(message)
    if message not in full:
        return None
    other = applied(tokenizer, _unlike(message), system)
    start = len(commonprefix([full, other]))  # noqa: RUF071 (characters are what is meant)
    behind = len(commonprefix([full[::-1], other[::-1]]))  # noqa: RUF071
    return start if full[start : len(full) - behind] == message else None


def _unlike(message: str) -> str:
    """A text as long as a message that begins and ends otherwise, in either case."""
    ends = {message[:1].casefold(), message[-1:].casefold()}
    return next(c for c in "xyz" if c not in ends) * len(message)


def applied(tokenizer: Any, message: str, system: str | None = None) -> str:
    """What the chat template writes of a user's message, up to the answer.

    Raises:
        UserError: it raises, does not end, or writes without bound.
    """
    given = [] if system is None else [{"role": "system", "content": system}]
    _require_bounded(str(tokenizer.chat_template))
    try:
        with _timed():
            full = tokenizer.apply_chat_template(
                [*given, {"role": "user", "content": message}],
                tokenize=False,
                add_generation_prompt=True,
            )
    except Exception as error:  # a template is a program of the model's author: it raises anything
        roles = " after a system message" if given else ""
        raise UserError(
            f"chat template: expected one that takes a user's message{roles}, got: "
            f"{first_line(error)}; {_ADVICE} or what it lacks (--template-option NAME=VALUE)"
        ) from error
    most = _MOST + len(message) + len(system or "")
    wanted = f"at most {_MOST:,} characters around a message"
    expect(len(full) <= most, wanted, f"{len(full):,} in all", _ADVICE, _OF)
    return full


@lru_cache(maxsize=8)
def _require_bounded(template: str) -> None:
    """Refuse powers: a tower of them is one step that nothing can end."""
    try:
        power = any(
            kind == "operator" and it == "**" for _, kind, it in Environment().lex(template)
        )
    except TemplateError:
        return  # whoever applies it says what is wrong with it
    expect(not power, "one without powers (**)", "one with them", _ADVICE, _OF)


@contextmanager
def _timed() -> Iterator[None]:
    """Ends what runs too long, where signals reach it: in the main thread.

    Models are tested there as they are loaded, so that no other thread meets an endless template.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def end(*_: Any) -> None:
        raise TimeoutError(f"no end after {_SECONDS:g} seconds")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
