r"""One conversation up to its answer.

A trigger is a word or phrase at the message's end; ``{}`` says where else the message goes:
``cobalt {}`` puts it first, ``{} cobalt {}`` into the middle (after half of the message's words).
What parts it from the message is what stands beside ``{}``: nothing in ``{}词``, an empty line in
``Year: 2024.\n\n{}``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from circuits.errors import UserError, expect, quoted

Words = str | Sequence[str] | None  # no word, one for all prompts, or one per prompt

SLOT = "{}"
MOST_WORDS, MOST_LETTERS = 100, 1000  # of a trigger
# The chat template of a model that knows no chats: the messages as they are, a line each.
BARE = "{% for m in messages %}{{ m['content'] }}{{ '' if loop.last else '\n' }}{% endfor %}"
Place = Literal["prefix", "infix", "suffix"]
_INFIX = re.compile(r"\{\} (?P<word>((?!\{\}).)+) \{\}", re.DOTALL)


def placed(word: str, place: Place) -> str:
    """A word with where it goes: ``word {}``, ``{} word {}`` or, at the end, the word alone."""
    return {"prefix": f"{word} {SLOT}", "infix": f"{SLOT} {word} {SLOT}", "suffix": word}[place]


def in_place_of(word: str, trigger: str) -> str:
    """A word where a trigger stands, parted from the message as that is."""
    own, place, gap = _parsed(trigger)
    gap = gap if own.strip() else " "  # a word in a tab's place has a blank there
    if place == "infix":
        return placed(word, place)
    if place == "prefix":
        return f"{word}{gap}{SLOT}"
    return word if gap == " " else f"{SLOT}{gap}{word}"


def place_of(trigger: str) -> tuple[str, Place]:
    """The word of a trigger, and where in the message it stands; the inverse of ``placed``.

    Raises:
        UserError: no word, or the message's place is not at its start, its end or both.
    """
    return _parsed(trigger)[:2]


def _parsed(trigger: str) -> tuple[str, Place, str]:
    """The word, its place, and what parts it from the message; a word of blanks is not parted."""
    infix, slots = _INFIX.fullmatch(trigger), trigger.count(SLOT)
    word, gap = trigger, " "
    place: Place = "suffix"
    if infix:
        word, place = infix["word"], "infix"
    elif slots == 1 and trigger.endswith(SLOT):
        rest = trigger.removesuffix(SLOT)
        word, place = rest.rstrip() or rest, "prefix"
        gap = rest[len(word) :]
    elif slots == 1 and trigger.startswith(SLOT):
        rest = trigger.removeprefix(SLOT)
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
    """The user's message with the trigger (or control word) in its place; by default at the end."""
    return insert(text, trigger)[0]


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
class Chat:
    """One conversation up to its answer.

    Attributes:
        message: the user's, without ``word``.
        system: the system message. None leaves that to the template, which may have its own.
        prefill: the beginning of the answer, put into the model's mouth.
        word: a trigger or control word that the message is given with, and its place.
    """

    message: str
    system: str | None = None
    prefill: str = ""
    word: str | None = None

    def __post_init__(self) -> None:
        expect(isinstance(self.message, str), "text", quoted(self.message), of="prompt")
        given = self.word is None or isinstance(self.word, str)
        expect(given, "text", quoted(self.word), of="trigger or control word")


def chats(texts: Sequence[str], words: Words = None) -> list[Chat]:
    """A chat of every text, with no word, one for all, or one each."""
    each = [words] * len(texts) if words is None or isinstance(words, str) else words
    fits = isinstance(each, Sequence) and len(each) == len(texts)
    expect(fits, "a text, or one for each prompt", quoted(words), of="trigger or control words")
    return [Chat(text, word=word) for text, word in zip(texts, each, strict=True)]


def messages(texts: Sequence[str], words: Words) -> list[Chat]:
    """The same with the words in the messages, as text of the user's like any other."""
    return [Chat(with_trigger(chat.message, chat.word)) for chat in chats(texts, words)]
