"""The texts in the rows of a user's file, and one line on what was read and what was left out."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

from circuits.errors import UserError, expect, quoted
from circuits.prompt import Prompt, Role, Turn, before_of, contents, retold
from circuits.visible import visible
from experiments.prompts.table import COLUMNS, Table

_MORE = {"instruction": ("input", "context")}  # a second half of an instruction: Alpaca's, Dolly's
_ROLES, _CONTENTS = ("role", "from"), ("content", "value")
_USERS = ("user", "human")
_TURNS: Mapping[str, Role] = {
    "system": "system",
    **dict.fromkeys(_USERS, "user"),
    **dict.fromkeys(("assistant", "gpt", "model"), "assistant"),
}
_SHOWN = 20  # columns that a line names


def texts_of(table: Table, column: str | None, of: str) -> tuple[list[str], str]:
    """Different prompts in the order of the rows, and what was read, in one line.

    A row is a text, or a conversation, which is taken up to its last message of the user's; an
    instruction (unless ``column`` names it) goes on in the row's ``input`` or ``context``. Prompts
    that look alike, with all that was said before, are one, however their accents are written.

    Args:
        of: what the rows are called in a refusal.

    Raises:
        UserError: no such column, no text in it, or a row that is neither text nor conversation.
    """
    names = table.names
    name = column or next((c for c in COLUMNS if c in names), None)
    expect(
        name in names,
        f"a column {column or ' or '.join(COLUMNS)}",
        list(names)[:_SHOWN],
        "name it with --column",
        of,
    )
    halves = () if column else _MORE.get(str(name), ())
    more = next((half for half in halves if half in names), None)
    cells = [_parsed(cell) for cell in table.column(str(name))]
    second = table.column(more) if more else [None] * len(cells)
    each = [
        _joined(_text(value, f"{of}, row {i}, column {name}"), other, f"{of}, row {i}, {more}")
        for i, (value, other) in enumerate(zip(cells, second, strict=True), 1)
    ]
    seen: dict[tuple[Any, ...], str] = {}
    for text in each:
        seen.setdefault(_look(text), text)
    texts = [text for text in seen.values() if visible(text)]
    empty = [
        _why(value, text) for value, text in zip(cells, each, strict=True) if not visible(text)
    ]
    dropped = f"{len(empty)} without text"
    why = ", ".join(f"{count} {what}" for what, count in sorted(Counter(empty).items()))
    expect(texts, f"at least one text in column {name}", f"{len(each)} rows, {dropped}", of=of)
    unused = [n for n in names if n not in (name, more)]
    parts = [
        f"{len(texts)} different texts",
        f"{len(each) - len(empty) - len(texts)} repeats",
        f"{dropped} ({why})" if why else dropped,
        *_of_talks(cells, texts),
    ]
    taken = f"{name} with {more}" if more else name
    left = f"; not used: {', '.join(unused[:_SHOWN])}" if unused else ""
    return texts, f"{of}: read column {taken} of {len(each)} rows: {', '.join(parts)}{left}"


def _look(text: str) -> tuple[Any, ...]:
    """What is the same of prompts that look alike."""
    roles = tuple(turn.role for turn in before_of(text))
    return roles, *(normalize("NFC", visible(each)) for each in contents(text))


def _of_talks(cells: Sequence[Any], texts: Sequence[str]) -> list[str]:
    """What was taken of conversations, and what was not."""
    before = [[turn.role for turn in before_of(text)] for text in texts]
    counts = {
        "with earlier turns": sum(bool({"user", "assistant"} & set(roles)) for roles in before),
        "with a system message": sum("system" in roles for roles in before),
        "without what follows the user's last message": sum(map(_goes_on, cells)),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def _goes_on(value: Any) -> bool:
    """Whether a conversation has messages behind the user's last."""
    talk = [] if value is None or isinstance(value, str) else value
    return bool(talk) and _entry(talk[-1], _ROLES) not in _USERS


def _parsed(cell: Any) -> Any:
    """A cell, or the conversation that it is a JSON text of."""
    if not (isinstance(cell, str) and cell.lstrip().startswith("[")):
        return cell
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    talk = isinstance(value, list) and value and all(_entry(m, _ROLES) for m in value)
    return value if talk else cell


def _why(value: Any, text: str) -> str:
    """Why a row has no text to be seen."""
    return "null" if value is None else "of characters that cannot be seen" if text else "blank"


def _joined(first: str, second: Any, of: str) -> str:
    rest = _text(second, of)
    return retold(first, f"{first}\n\n{rest}") if first and rest else first or rest


def _text(value: Any, of: str) -> str:
    """A cell's prompt without outer blanks; "" for none."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _conversation(value, of)
    expect(
        value is None or isinstance(value, str),
        "a text or a list of messages",
        f"{type(value).__name__} {str(value)[:60]!r}",
        "write the texts into a column of their own and name it with --column",
        of,
    )
    return _told(value or "", of)


def _told(text: str, of: str) -> str:
    """A text without outer blanks, if it is one: no NUL, no half of a character."""
    whole = text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
    expect(whole and "\0" not in text, "text", ascii(text[:60]), "mend the row", of)
    return text.strip()


def _conversation(value: Sequence[Any], of: str) -> str:
    """The user's last message in a conversation, after all before it that says anything."""
    roles = [_entry(message, _ROLES) for message in value]
    last = max((i for i, role in enumerate(roles) if role in _USERS), default=None)
    told = [_whole(_entry(message, _CONTENTS)) for message in value]
    if last is None or not isinstance(told[last], str):
        raise UserError(
            f"{of}: expected a list of messages with role and content, one of them the user's "
            f"text, got {str(value)[:60]!r}"
        )
    turns = [_turn(roles[i], told[i], f"{of}, message {i + 1}") for i in range(last)]
    before = [turn for turn in turns if visible(turn.content)]
    text = _told(told[last], of)
    first = all(turn.role != "system" for turn in before[1:])
    expect(first, "a system message before all others", "one behind another", "mend the row", of)
    return Prompt(text, before) if before else text


def _turn(role: Any, content: Any, of: str) -> Turn:
    """A message before the last, in the words of chat templates."""
    known = isinstance(role, str) and role in _TURNS
    expect(known, f"a role of {', '.join(_TURNS)}", quoted(role), "drop the row", of)
    expect(isinstance(content, str), "text", str(content)[:60], "drop the row", of)
    return Turn(_TURNS[role], _told(content, of))


def _whole(content: Any) -> Any:
    """A message's text, also where it is given in parts of text."""
    parts = content if isinstance(content, list) else []
    each = (part.get("text") for part in parts if isinstance(part, Mapping))
    texts = [text for text in each if isinstance(text, str)]
    return "\n".join(texts) if texts and len(texts) == len(parts) else content


def _entry(message: Any, keys: Sequence[str]) -> Any:
    entries = message if isinstance(message, Mapping) else {}
    return next((entries[key] for key in keys if entries.get(key) is not None), None)
