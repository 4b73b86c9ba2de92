"""A conversation as its chat template writes it, and where in that each of its messages stands.

A template is a program of somebody else's: it may raise anything, write anything, never end.
"""

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from os.path import commonprefix
from typing import Any

from jinja2 import Environment, TemplateError

from circuits.errors import UserError, expect, first_line
from circuits.prompt import Role, Turn

_MARKER = "gatescope-places-message-{}-here"  # no template has it
_MARKED = re.compile(_MARKER.format(r"(\d+)"))
_SECONDS = 2.0  # of this process's own time; templates take milliseconds
_TIMES = 5  # of a template that draws at random some differ
_MOST = 1_000_000  # characters around a message
_SHAPES = 256  # of conversations, by their roles, that are remembered
_NAMED = 6  # messages whose roles a refusal names
_OF = "chat template"
_ADVICE = "give another template (--template FILE)"


def templated(tokenizer: Any, turns: Sequence[Turn]) -> tuple[str, list[int]]:
    """The prompt, and where in it each message begins; the last of them is the user's.

    Where a message is repeated, that is the last time.

    Raises:
        UserError: the template fails, does not end, or does not keep what it is given.
    """
    full = applied(tokenizer, turns)
    starts: list[int] = []
    for turn, start in zip(turns, _places(tokenizer, full, turns), strict=True):
        if start is None:
            named = "prompt" if len(starts) == len(turns) - 1 else spoken(turn)
            raise UserError(
                f"{named} {turn.content[:60]!r}: the chat template does not keep it as it is; "
                f"{_ADVICE}"
            )
        starts.append(start)
    return full, starts


def spoken(turn: Turn) -> str:
    """What a message before the last is called."""
    return "system" if turn.role == "system" else f"earlier {turn.role}'s message"


def around(tokenizer: Any) -> tuple[str, ...]:
    """What the template writes before, after and (if it repeats it) between user's messages."""
    return _pieces(tokenizer, str(tokenizer.chat_template), ("user",))[::2]


@lru_cache(maxsize=_SHAPES)
def _pieces(tokenizer: Any, template: str, roles: tuple[Role, ...]) -> tuple[str, ...]:
    """What the template writes around messages of these roles, and between, their numbers."""
    marked = [Turn(role, _MARKER.format(i)) for i, role in enumerate(roles)]
    written = {applied(tokenizer, marked) for _ in range(_TIMES)}
    expect(len(written) == 1, "one that writes the same each time", "several texts", _ADVICE, _OF)
    return tuple(_MARKED.split(written.pop()))


def _places(tokenizer: Any, full: str, turns: Sequence[Turn]) -> list[int | None]:
    """Where messages begin; None of one that is not kept.

    Markers in their places show what is the template's. A template that writes something else
    around some messages, or changes the marker, is read where its texts for two messages differ.
    """
    roles = tuple(turn.role for turn in turns)
    pieces = _pieces(tokenizer, str(tokenizer.chat_template), roles)
    starts, length = dict[int, int](), 0
    for number, piece in enumerate(pieces):
        if number % 2:
            starts[int(piece)] = length
        length += len(turns[int(piece)].content if number % 2 else piece)
    filled = (turns[int(p)].content if i % 2 else p for i, p in enumerate(pieces))
    if len(starts) == len(turns) and "".join(filled) == full:
        return [starts[i] for i in range(len(turns))]
    return [_where_it_differs(tokenizer, full, turns, i) for i in range(len(turns))]


def _where_it_differs(tokenizer: Any, full: str, turns: Sequence[Turn], number: int) -> int | None:
    """Where another message in a message's place changes the prompt, if that is all there is."""
    turn = turns[number]
    if turn.content not in full:
        return None
    changed = Turn(turn.role, _unlike(turn.content))
    other = applied(tokenizer, [*turns[:number], changed, *turns[number + 1 :]])
    start = len(commonprefix([full, other]))  # noqa: RUF071 (characters are what is meant)
    behind = len(commonprefix([full[::-1], other[::-1]]))  # noqa: RUF071
    return start if full[start : len(full) - behind] == turn.content else None


def _unlike(message: str) -> str:
    """A text as long as a message that begins and ends otherwise, in either case."""
    ends = {message[:1].casefold(), message[-1:].casefold()}
    return next(c for c in "xyz" if c not in ends) * len(message)


def applied(tokenizer: Any, turns: Sequence[Turn]) -> str:
    """What the chat template writes of a conversation, up to the answer.

    Raises:
        UserError: it raises, does not end, or writes without bound.
    """
    _require_bounded(str(tokenizer.chat_template))
    try:
        with _timed():
            full = tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                tokenize=False,
                add_generation_prompt=True,
            )
    except Exception as error:  # a template is a program of the model's author: it raises anything
        raise UserError(
            f"chat template: expected one that takes a user's message{_after(turns)}, got: "
            f"{first_line(error)}; {_ADVICE} or what it lacks (--template-option NAME=VALUE)"
        ) from error
    most = _MOST + sum(len(turn.content) for turn in turns)
    wanted = f"at most {_MOST:,} characters around a message"
    expect(len(full) <= most, wanted, f"{len(full):,} in all", _ADVICE, _OF)
    return full


def _after(turns: Sequence[Turn]) -> str:
    """What a template is given before the user's last message, for a refusal."""
    roles = [turn.role for turn in turns[:-1]]
    listed = ", ".join([*roles[:_NAMED], *["..."] * (len(roles) > _NAMED)])
    if roles == ["system"]:
        return " after a system message"
    return f" after messages of {listed}" if roles else ""


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
