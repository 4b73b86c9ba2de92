"""What a question's fields may be, checked where it is built, for a terminal and a notebook alike.

Kinds are read from the fields' own annotations, so a new option is checked without a word.
"""

import math
import operator
import os
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from circuits.errors import UserError, expect, quoted

MOST = 1_000_000  # prompts, pairs, tokens, passes: beyond that somebody has mistyped
SIGNED = (-(2**63), 2**63 - 1)  # whole numbers, seeds among them, fit into 64 bits


def checked(question: Any, *filled: str, **ranges: tuple[int, int]) -> None:
    """Refuse fields of a question that are not of their kind, are blank, or out of their range.

    A text serves for a path and a list for a tuple, for those who ask from Python.

    Args:
        filled: texts that may not be empty.
        ranges: the least and the most of counts, by field. Other whole numbers fit into 64 bits.

    Raises:
        UserError: names the option.
    """
    hints = get_type_hints(type(question), include_extras=True)
    for part in fields(question):
        given, (kind, *notes) = getattr(question, part.name), _plain(hints[part.name])
        asked = (note for note in notes if isinstance(note, OptionInfo | ArgumentInfo))
        of = spelled(part.name, next(asked, None))
        value = _of_kind(kind, given, of)
        if value is not given:
            object.__setattr__(question, part.name, value)
        expect(value != "" or part.name not in filled, "text", "nothing", of=of)
        if kind is int:
            whole(value, of, *ranges.get(part.name, SIGNED))


def whole(value: Any, of: str, least: int, most: int = MOST) -> int:
    """A whole number within its range, refused if it is another or none."""
    number = _whole(value, of)
    expect(number >= least, f"at least {least}", number, of=of)
    expect(number <= most, f"at most {most:,}", quoted(number), of=of)
    return number


def to_write(path: Path, of: str) -> Path:
    """A file to write, refused if a directory stands there: what it holds would be hidden."""
    expect(not path.is_dir(), "a file", "a directory", "name a file in it", f"{of} {path}")
    return path


def share(value: Any, of: str) -> float:
    """A share in (0, 1], refused if it is another number or none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    expect(number and 0 < value <= 1, "a share above 0, at most 1", quoted(value), of=of)
    return value


def spelled(name: str, info: Any) -> str:
    """How the terminal calls a field; its name where it is not asked there."""
    if info is None:
        return name
    if isinstance(info, ArgumentInfo):
        return info.metavar or name
    declared = info.default  # typer has the first spelling there, if there is one
    return declared if isinstance(declared, str) else f"--{name.replace('_', '-')}"


def _plain(hint: Any) -> tuple[Any, ...]:
    """A field's kind, then the notes of its annotation."""
    return get_args(hint) if get_origin(hint) is Annotated else (hint,)


def _of_kind(kind: Any, value: Any, of: str) -> Any:
    """A value as the field has it, or why not."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None and type(None) in get_args(kind):
            return value
        kinds = [each for each in get_args(kind) if each is not type(None)]
        return _of_kind(kinds[0], value, of) if len(kinds) == 1 else value
    if origin is Literal:
        known = ", ".join(map(str, get_args(kind)))
        expect(value in get_args(kind), f"one of {known}", quoted(value), of=of)
    elif origin is tuple:
        several = isinstance(value, list | tuple)
        expect(several, "a tuple", quoted(value), "give several in a tuple", of)
        each = tuple(_of_kind(get_args(kind)[0], one, of) for one in value)
        return value if each == value else each
    elif kind in _KINDS:
        return _KINDS[kind](value, of)
    elif isinstance(kind, type) and kind is not Any:
        expect(isinstance(value, kind), f"a {kind.__name__}", quoted(value), of=of)
    return value


def text(value: Any, of: str) -> str:
    """A text that is empty or has something to see, refused if it is neither."""
    expect(isinstance(value, str), "text", quoted(value), of=of)
    expect(_is_utf8(value) and "\0" not in value, "text in UTF-8", ascii(value), of=of)
    if value and not any(c.isprintable() and not c.isspace() for c in value):
        got = ascii(value) if value.strip() else "nothing"
        raise UserError(f"{of}: expected text, got {got}")
    return value


def _whole(value: Any, of: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    expect(
        number is not None and not isinstance(value, bool), "a whole number", quoted(value), of=of
    )
    return value if number == value and type(value) is int else operator.index(value)


def _number(value: Any, of: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    expect(number and math.isfinite(value), "a finite number", quoted(value), of=of)
    return value


def _path(value: Any, of: str) -> Path:
    expect(isinstance(value, str | os.PathLike), "a path", quoted(value), of=of)
    name = text(os.fspath(value), of)
    return value if isinstance(value, Path) else Path(name)


_KINDS = {str: text, int: _whole, float: _number, Path: _path}


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that were no UTF-8 stand in it as surrogates
        return False
    return True
