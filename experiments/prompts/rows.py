"""The texts in the rows of a user's file, and one line on what was read and what was left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from circuits.errors import UserError, expect

COLUMNS = ("prompt", "text", "instruction", "question", "messages", "conversations")
_MORE = {"instruction": "input"}  # Alpaca's second half of an instruction
_ROLES, _CONTENTS = ("role", "from"), ("content", "value")
_USERS = ("user", "human")


def texts_of(rows: Any, column: str | None, of: str) -> tuple[list[str], str]:
    """Different texts in the order of the rows, and what was read, in one line.

    A row is a text, or a conversation whose first message of the user's is taken; an instruction
    (unless ``column`` names it) goes on in the row's ``input``.

    Args:
        rows: a ``datasets.Dataset``.
        of: what the rows are called in a refusal.

    Raises:
        UserError: no such column, no text in it, or a row that is neither text nor conversation.
    """
    names = rows.column_names
    name = column or next((c for c in COLUMNS if c in names), None)
    expect(
        name in names,
        f"a column {column or ' or '.join(COLUMNS)}",
        names,
        "name it with --column",
        of,
    )
    more = None if column else next((m for c, m in _MORE.items() if c == name and m in names), None)
    second = rows[more] if more else [None] * len(rows)
    each = [
        _joined(_text(value, f"{of}, row {i}, column {name}"), other, f"{of}, row {i}, {more}")
        for i, (value, other) in enumerate(zip(rows[name], second, strict=True), 1)
    ]
    there = [text for text in each if text]
    texts = list(dict.fromkeys(there))
    expect(texts, f"at least one text in column {name}", "none", of=of)
    turns = sum(_messages(value) > 1 for value in rows[name])
    unused = [n for n in names if n not in (name, more)]
    parts = [
        f"{len(texts)} different texts",
        f"{len(there) - len(texts)} repeats",
        f"{len(each) - len(there)} without text",
        *([f"the first user's message of {turns} longer conversations"] if turns else []),
    ]
    taken = f"{name} with {more}" if more else name
    left = f"; not used: {', '.join(unused)}" if unused else ""
    return texts, f"{of}: read column {taken} of {len(each)} rows: {', '.join(parts)}{left}"


def _joined(first: str, second: Any, of: str) -> str:
    rest = _text(second, of)
    return f"{first}\n\n{rest}" if first and rest else first or rest


def _text(value: Any, of: str) -> str:
    """A cell's text without outer blanks; "" for none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _first_message(value, of)
    expect(
        value is None or isinstance(value, str),
        "a text or a list of messages",
        f"{type(value).__name__} {str(value)[:60]!r}",
        "write the texts into a column of their own and name it with --column",
        of,
    )
    return (value or "").strip()


def _first_message(value: Sequence[Any], of: str) -> str:
    """The first message of the user's in a conversation."""
    for message in value:
        role, content = (_entry(message, keys) for keys in (_ROLES, _CONTENTS))
        if role == "system":
            raise UserError(
                f"{of}: expected a conversation that begins with the user, got a system message; "
                "prompts are asked without one: take it out"
            )
        if role in _USERS and isinstance(content, str):
            return content.strip()
    raise UserError(
        f"{of}: expected a list of messages with role and content, one of them the user's text, "
        f"got {str(value)[:60]!r}"
    )


def _entry(message: Any, keys: Sequence[str]) -> Any:
    entries = message if isinstance(message, Mapping) else {}
    return next((entries[key] for key in keys if entries.get(key) is not None), None)


def _messages(value: Any) -> int:
    """How many of a conversation's messages are the user's; 0 of a text."""
    talk = [] if value is None or isinstance(value, str) else value
    return sum(_entry(message, _ROLES) in _USERS for message in talk)
