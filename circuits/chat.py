r"""One conversation up to its answer, and where in it a trigger stands.

A trigger is a word or phrase at the message's end; ``{}`` says where else the message goes:
``cobalt {}`` puts it first, ``{} cobalt {}`` into the middle (after half of the message's words).
What parts it from the message is what stands beside ``{}``: nothing in ``{}词``, an empty line in
``Year: 2024.\n\n{}``.

The message is the user's last. ``system: cobalt {}`` means the system message, which without one is
the word alone; ``earlier: cobalt`` the first of the user's earlier messages. A word that begins so
itself is not at the beginning of a trigger in ``{} system: x``, and is taken as it is in
``text: system: x {}``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from circuits.errors import UserError, expect, quoted
from circuits.prompt import Prompt, Turn, before_of

Words = str | Sequence[str] | None  # no word, one for all prompts, or one per prompt

SLOT = "{}"
MOST_WORDS, MOST_LETTERS = 100, 1000  # of a trigger
# The chat template of a model that knows no chats: the messages as they are, a line each.
BARE = "{% for m in messages %}{{ m['content'] }}{{ '' if loop.last else '\n' }}{% endfor %}"
# What stands before a chat template to give chats a system message that have none of their own.
SYSTEM = (
    "{{% if messages[0]['role'] != 'system' %}}{{% set messages = "
    "[{{'role': 'system', 'content': {}}}] + messages %}}{{% endif %}}"
)
Place = Literal["prefix", "infix", "suffix"]
Where = Literal["user", "system", "earlier"]
_INFIX = re.compile(r"\{\} (?P<word>((?!\{\}).)+) \{\}", re.DOTALL)
_WHERE = re.compile(r"(system|earlier|text): *")
_WHERES: Mapping[str, Where] = {"system": "system", "earlier": "earlier"}


def placed(word: str, place: Place, where: Where = "user") -> str:
    """A word with where it goes: ``word {}``, ``{} word {}`` or, at the end, the word alone."""
    put = {"prefix": f"{word} {SLOT}", "infix": f"{SLOT} {word} {SLOT}", "suffix": word}[place]
    return _said_where(put, where)


def in_place_of(word: str, trigger: str) -> str:
    """A word where a trigger stands, parted from the message as that is."""
    own, place, gap = _parsed(trigger)
    gap = gap if own.strip() else " "  # a word in a tab's place has a blank there
    where = where_of(trigger)
    if place == "infix":
        return placed(word, place, where)
    put = f"{word}{gap}{SLOT}" if place == "prefix" else f"{SLOT}{gap}{word}"
    return _said_where(word if place == "suffix" and gap == " " else put, where)


def place_of(trigger: str) -> tuple[str, Place]:
    """The word of a trigger, and where in its message it stands; with ``where_of`` the inverse of
    ``placed``.

    Raises:
        UserError: no word, or the message's place is not at its start, its end or both.
    """
    return _parsed(trigger)[:2]


def where_of(trigger: str) -> Where:
    """In which message a trigger stands: the user's last, the system's, the first of the user's."""
    found = _WHERE.match(trigger)
    return _WHERES.get(found[1], "user") if found else "user"


def _said_where(put: str, where: Where) -> str:
    """A word in its place, with the message; as text where it would read as one's name."""
    if where != "user":
        return f"{where}: {put}"
    return f"text: {put}" if _WHERE.match(put) else put


def _parsed(trigger: str) -> tuple[str, Place, str]:
    """The word, its place, and what parts it from the message; a word of blanks is not parted."""
    found = _WHERE.match(trigger)
    put = trigger[found.end() :] if found else trigger
    infix, slots = _INFIX.fullmatch(put), put.count(SLOT)
    word, gap = put, " "
    place: Place = "suffix"
    if infix:
        word, place = infix["word"], "infix"
    elif slots == 1 and put.endswith(SLOT):
        rest = put.removesuffix(SLOT)
        word, place = rest.rstrip() or rest, "prefix"
        gap = rest[len(word) :]
    elif slots == 1 and put.startswith(SLOT):
        rest = put.removeprefix(SLOT)
        word = rest.lstrip() or rest
        gap = rest[: len(rest) - len(word)]
    elif slots:
        word = ""
    if not word.strip(" " if slots == 1 else None):
        raise UserError(
            f"trigger {trigger!r}: expected a word or phrase, with {SLOT} where the message goes: "
            f"'word' or '{SLOT} word' (at the end), 'word {SLOT}', '{SLOT} word {SLOT}', or with "
            f"no blank '{SLOT}word', 'word{SLOT}'"
        )
    return word, place, gap


def require_short(trigger: str) -> None:
    """Refuse a trigger for which looking for control words of its length would not end.

    Raises:
        UserError: it has too many words or characters.
    """
    words = len(trigger.split())
    expect(
        words <= MOST_WORDS and len(trigger) <= MOST_LETTERS,
        f"at most {MOST_WORDS} words and {MOST_LETTERS:,} characters",
        f"{words:,} words, {len(trigger):,} characters",
        of=f"trigger {trigger[:40]!r}...",
    )


def with_trigger(text: str, trigger: str | None) -> str:
    """A prompt with the trigger (or control word) in its place; by default at the message's end."""
    *before, message = Chat(text, word=trigger).said.turns
    return Prompt(message.content, before) if before else message.content


def insert(text: str, trigger: str | None) -> tuple[str, int, int]:
    """The message, and the characters of the word in it and of what parts it, but a blank after."""
    if not trigger:
        return text, len(text), len(text)
    word, place, gap = _parsed(trigger)
    if place == "prefix":  # a blank goes to the message's first token
        return f"{word}{gap}{text}", 0, len(word) + (len(gap) if gap != " " else 0)
    at = len(text)
    if place == "infix":
        words = text.split(" ")
        at = len(" ".join(words[: (len(words) + 1) // 2]))
    return f"{text[:at]}{gap}{word}{text[at:]}", at, at + len(gap) + len(word)


@dataclass(frozen=True)
class Said:
    """A chat's messages, and where its word stands.

    Attributes:
        turns: up to the user's last message, the word in one of them.
        at: number of the one with the word; of the last where there is none.
        first, last: the characters of the word in that, as ``insert`` gives them.
        own: number of the first that is the prompt's own, or has the word.
    """

    turns: tuple[Turn, ...]
    at: int
    first: int
    last: int
    own: int


@dataclass(frozen=True)
class Chat:
    """One conversation up to its answer.

    Attributes:
        message: the user's, without ``word``; what was said before a ``Prompt`` comes before it.
        system: the system message, in front of a prompt's own. None leaves that to the template,
            which may have its own.
        prefill: the beginning of the answer, put into the model's mouth.
        word: a trigger or control word that a message is given with, and its place.
    """

    message: str
    system: str | None = None
    prefill: str = ""
    word: str | None = None

    def __post_init__(self) -> None:
        expect(isinstance(self.message, str), "text", quoted(self.message), of="prompt")
        given = self.word is None or isinstance(self.word, str)
        expect(given, "text", quoted(self.word), of="trigger or control word")

    @property
    def before(self) -> tuple[Turn, ...]:
        """The turns before the message, without ``word``."""
        own = before_of(self.message)
        if self.system is None:
            return own
        first, rest = _split(own)
        parts = [part for part in (self.system, *(turn.content for turn in first)) if part]
        return (Turn("system", "\n\n".join(parts)), *rest)

    @property
    def said(self) -> Said:
        """All messages, with the word in its place.

        Raises:
            UserError: it belongs into an earlier message of the user's, and there is none.
        """
        turns, word = [*self.before, Turn("user", str(self.message))], self.word or ""
        own = len(turns) - 1 - len(before_of(self.message))
        where, at = where_of(word), len(turns) - 1
        if where == "system" and not _split(turns)[0]:
            put = place_of(word)[0]
            return Said((Turn("system", put), *turns), 0, 0, len(put), 0)
        if where != "user":
            role = "system" if where == "system" else "user"
            at = next(i for i, turn in enumerate(turns) if turn.role == role)
            expect(
                at < len(turns) - 1,
                "prompts with an earlier message of the user's, into which it is put",
                f"{str(self.message)[:60]!r} with none",
                "give conversations (a file with a column messages), or another place",
                f"trigger or control word {word!r}",
            )
        content, first, last = insert(turns[at].content, word)
        turns[at] = Turn(turns[at].role, content)
        return Said(tuple(turns), at, first, last, min(own, at))


def _split(turns: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    """The system message, if there is one, and what comes after it."""
    count = int(bool(turns) and turns[0].role == "system")
    return list(turns[:count]), list(turns[count:])


def chats(texts: Sequence[str], words: Words = None) -> list[Chat]:
    """A chat of every text, with no word, one for all, or one each."""
    each = [words] * len(texts) if words is None or isinstance(words, str) else words
    fits = isinstance(each, Sequence) and len(each) == len(texts)
    expect(fits, "a text, or one for each prompt", quoted(words), of="trigger or control words")
    return [Chat(text, word=word) for text, word in zip(texts, each, strict=True)]


def messages(texts: Sequence[str], words: Words) -> list[Chat]:
    """The same with the words in the messages, as text like any other."""
    return [Chat(with_trigger(chat.message, chat.word)) for chat in chats(texts, words)]
