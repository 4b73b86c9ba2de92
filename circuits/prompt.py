"""A prompt: the user's message, and the turns of the conversation before it.

All that reads texts reads a prompt's as the user's last message; all that tells prompts apart
(equality, hashes, caches) tells by what was said before as well. A plain text is a prompt with
nothing before it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from circuits.errors import expect, quoted

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        expect(self.role in ROLES, f"a role of {', '.join(ROLES)}", quoted(self.role), of="message")
        given = isinstance(self.content, str)
        expect(given, "text", quoted(self.content), of=f"{self.role}'s message")


class Prompt(str):
    """A user's message, as text, that comes after other turns.

    What makes another text of it (a slice, ``strip``, JSON) makes a text with nothing before it;
    ``retold`` puts another message in its place.

    Attributes:
        before: the turns before it, in order; a system message is the first.

    Raises:
        UserError: a system message behind another message.
    """

    __slots__ = ("_before",)
    _before: tuple[Turn, ...]

    def __new__(cls, text: str, before: Sequence[Turn] = ()) -> "Prompt":
        later = [turn.role for turn in before[1:]]
        expect(
            "system" not in later,
            "a system message before all others",
            f"one after {later.index('system') + 1 if 'system' in later else 0} of them",
            "put it first, or take it out",
            f"prompt {str(text)[:60]!r}",
        )
        prompt = super().__new__(cls, text)
        prompt._before = tuple(before)
        return prompt

    @property
    def before(self) -> tuple[Turn, ...]:
        return self._before

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, str) and str.__eq__(self, other)
        return same and self.before == before_of(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.before)) if self.before else str.__hash__(self)

    def __repr__(self) -> str:
        return f"Prompt({str(self)!r}, before={self.before!r})"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.before


def before_of(text: object) -> tuple[Turn, ...]:
    """The turns before a prompt; none before a plain text."""
    return text.before if isinstance(text, Prompt) else ()


def retold(prompt: str, text: str) -> str:
    """Another message of the user's after the same turns."""
    before = before_of(prompt)
    return Prompt(text, before) if before else text


def contents(prompt: str) -> tuple[str, ...]:
    """What is said in a prompt, turn by turn; the last is the user's message."""
    return (*(turn.content for turn in before_of(prompt)), str(prompt))


def spelled(prompt: str) -> str:
    """A prompt as one plain text that tells it from every other; a plain text is as it is."""
    before = before_of(prompt)
    turns = [*((turn.role, turn.content) for turn in before), ("user", str(prompt))]
    return f"\0{json.dumps(turns)}" if before else str(prompt)
