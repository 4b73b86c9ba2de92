"""Prompts as a model reads them: their hash, and one of them with its spans marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any

from circuits.chat import Chat
from circuits.spans import Rendered, render
from circuits.types import MESSAGE

_NAMED = ("trigger", "user", "template", "last")  # the first that holds a token names it
OPENING, EARLIER = "opening", "earlier"  # the template's, and the turns before the message


@dataclass(frozen=True)
class Part:
    """Tokens of one span, side by side, with their text; special tokens are spelled."""

    span: str
    tokens: int
    text: str


def rendered_sha256(tokenizer: Any, chats: Sequence[Chat]) -> str:
    """Hash of prompts' tokens: it tells templates, their arguments and their dates apart."""
    digest = sha256()
    for chat in chats:
        digest.update(f"{' '.join(map(str, render(tokenizer, chat).ids))}\n".encode())
    return digest.hexdigest()


def parts_of(tokenizer: Any, chat: Chat) -> tuple[Part, ...]:
    """A prompt, span after span."""
    prompt = render(tokenizer, chat)
    columns = groupby(range(len(prompt.ids)), key=lambda column: _span(prompt, column))
    each = [(name, [prompt.ids[i] for i in own]) for name, own in columns]
    return tuple(Part(name, len(ids), tokenizer.decode(ids)) for name, ids in each)


def _span(prompt: Rendered, column: int) -> str:
    for name in _NAMED:
        first, last = prompt.spans.get(name, (0, 0))
        if first <= column < last:
            return name
    return EARLIER if column >= prompt.spans[MESSAGE][0] else OPENING
