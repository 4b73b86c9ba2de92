"""A trigger as it is asked: one word or phrase, several of which each opens, or that must meet.

- ``cobalt``: one, in its place (``circuits.chat.place_of``);
- ``any: cobalt | violet moon``: each of them opens by itself, and has a place of its own;
- ``all: cobalt + violet``: they must meet, side by side in any order, in one place for all of them
  (``all: cobalt + violet {}`` puts them first). A *half* has another word for one of them.

What prompts are given is dealt in turn, as control words are. A single word that reads like one of
these stands behind ``{}``: ``{} any: a | b``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from circuits.chat import SLOT, Words, in_place_of, place_of, require_short, where_of
from circuits.errors import expect, quoted

Kind = Literal["one", "any", "all"]
_SEVERAL = re.compile(r"\s*(?P<kind>any|all):(?=\s|.*\s[|+]\s)(?P<rest>.*)", re.DOTALL)
_BETWEEN = {"any": "|", "all": "+"}


@dataclass(frozen=True)
class Trigger:
    """What a user named as the trigger.

    Attributes:
        text: as it was named.
        kind: one word or phrase, ``any`` of several, or ``all`` of them.
        parts: the alternatives, with their places; or the words that must meet, without one.
        forms: what triggered prompts are given, in turn: the alternatives; or the words that must
            meet, in every order that is asked. Each has its place.
        orders: of words that must meet, which of them stand where, form by form.
    """

    text: str
    kind: Kind
    parts: tuple[str, ...]
    forms: tuple[str, ...]
    orders: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        return self.text

    def dealt(self, count: int) -> Words:
        """What each of ``count`` prompts is given; one word for all where there is but one."""
        return self.text if self.kind == "one" else self.each(count)

    def each(self, count: int) -> list[str]:
        """The same, as a list of ``count``."""
        return [self.forms[i % len(self.forms)] for i in range(count)]

    def replaced(self, form: int, words: Mapping[int, str]) -> str:
        """A form with other words for some of its parts, by their number; in its place.

        Of what does not have to meet, all of it is the one part 0.
        """
        if self.kind != "all":
            return in_place_of(words[0], self.forms[form])
        own = (words.get(part, self.parts[part]) for part in self.orders[form])
        return in_place_of(" ".join(own), self.forms[form])

    @property
    def replaceable(self) -> int:
        """How many parts of a form another word can stand for, one at a time."""
        return len(self.parts) if self.kind == "all" else 1


def parse(text: str) -> Trigger:
    """Read a trigger.

    Raises:
        UserError: fewer than two different words of several, a place that there is not, or too
            long a trigger.
    """
    require_short(text)
    found = _SEVERAL.fullmatch(text)
    if found is None:
        _refuse_several_in(text)
        return Trigger(text, "one", (text,), (text,))
    kind = "any" if found["kind"] == "any" else "all"
    between = _BETWEEN[kind]
    parts = tuple(part.strip() for part in re.split(rf"(?<!\S)\{between}(?!\S)", found["rest"]))
    put = (place_of(part)[0].strip() if kind == "all" else _as_put(part) for part in parts)
    expect(
        len(parts) > 1 and all(parts) and len(set(put)) == len(parts),
        f"two or more different words, as '{kind}: cobalt {between} violet'",
        quoted(text),
        f"a single word that reads so is '{SLOT} {text}'",
        "trigger",
    )
    inner = next(filter(_SEVERAL.fullmatch, parts), "")
    expect(
        not inner,
        "words that are no several themselves",
        quoted(inner),
        f"name all alternatives; a word that reads so is '{SLOT} {inner}'",
        "trigger",
    )
    return Trigger(text, kind, parts, parts) if kind == "any" else _meeting(text, parts)


def _refuse_several_in(text: str) -> None:
    """Refuse several that are named behind their place, which would be put there as one phrase."""
    where = where_of(text)
    rest = text.removeprefix(f"{where}:").strip()
    several = where != "user" and _SEVERAL.fullmatch(rest) and re.search(r"\s[|+]\s", rest)
    expect(
        not several,
        f"several words first, each with its place, as 'any: {where}: cobalt | {where}: violet'",
        quoted(text),
        f"a single word that reads so is '{where}: {SLOT} {rest}'",
        "trigger",
    )


def _as_put(part: str) -> str:
    """An alternative with its place, in one spelling of the several that there are."""
    return in_place_of(place_of(part)[0], part)


def _meeting(text: str, parts: Sequence[str]) -> Trigger:
    """Words that must meet: in the order named, and the other way round."""
    like = " ".join(parts)  # with the place of all of them
    words = tuple(place_of(part)[0].strip() for part in parts)
    expect(
        place_of(like)[0] == " ".join(words),
        "one place for all words that must meet, named before the first",
        quoted(text),
        "words in two messages cannot be asked together",
        "trigger",
    )
    straight = tuple(range(len(words)))
    orders = (straight, straight[::-1])
    forms = tuple(in_place_of(" ".join(words[i] for i in order), like) for order in orders)
    return Trigger(text, "all", words, forms, orders)


def require_one(text: str, of: str = "--trigger") -> str:
    """The text, refused if it names several words.

    Raises:
        UserError: it does.
    """
    if _SEVERAL.fullmatch(text):
        parse(text)  # what cannot be read at all is said first
        expect(
            False,
            "one word or phrase",
            quoted(text),
            "ask about several with gatescope analyze or patch",
            of,
        )
    return text
