"""Texts that a tokenizer or a chat template keeps for itself: in a message they forge turns.

They are the special tokens; added tokens that are written as markup or stand in the chat template,
such as ``<think>``; what the template spells as markup (``[INST]``, ``<|user|>``), token or not;
and what it puts after a message. A word, a blank or a tag of HTML with a token of its own is text.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from circuits.errors import UserError, expect
from circuits.prompt import contents
from circuits.templated import around

_WRITTEN = re.compile(r"<[|｜][^<>|｜\s]{1,40}[|｜]>|\[/?[A-Z][A-Z_]{2,30}\]|<</?SYS>>")
_LEAST = 6  # characters of a turn's end that no message has by chance


def markup(tokenizer: Any) -> tuple[str, ...]:
    """All of them, for a tokenizer with a chat template."""
    return _markup(tokenizer, str(tokenizer.chat_template), len(tokenizer))


@lru_cache(maxsize=8)
def _markup(tokenizer: Any, template: str, size: int) -> tuple[str, ...]:
    added = tokenizer.added_tokens_decoder.values()
    special = [t.content for t in added if t.special and t.content.strip()]
    tokens = [t.content for t in added if not t.special and _is_markup(t.content, template)]
    after = around(tokenizer)[-1].strip()
    marked = len(after) >= _LEAST and not re.fullmatch(r"[\w\s]+", after)
    return tuple(dict.fromkeys([*special, *tokens, *_WRITTEN.findall(template), *[after] * marked]))


def _is_markup(token: str, template: str) -> bool:
    sign = len(token.strip()) > 2 and not (token[0].isalnum() or token[-1].isalnum())
    return sign and (token in template or _WRITTEN.fullmatch(token) is not None)


def refuse_markup(tokenizer: Any, text: str, of: str) -> None:
    """Refuse a text with markup in it.

    Raises:
        UserError: names the markup.
    """
    held = _first(markup(tokenizer), text)
    if held is not None:
        kind = "special token" if held in tokenizer.get_added_vocab() else "template's"
        expect(
            False,
            "plain text, to which the chat template adds the markup",
            f"the {kind} {held!r} in it",
            "take the markup out",
            of,
        )


def refuse_marked(tokenizer: Any, texts: Sequence[str], of: str) -> None:
    """Refuse prompts of which some have markup in a message, as those that are rendered already.

    Raises:
        UserError: says how many, and names the first.
    """
    every = markup(tokenizer)
    held = [first for text in texts if (first := _first_in(every, contents(text)))]
    if held:
        found, text = held[0]
        raise UserError(
            f"{of}: expected plain texts, to which the chat template adds the markup, got "
            f"{len(held)} of {len(texts)} with markup in them, the first {found!r} in "
            f"{text[:60]!r}; give the messages alone"
        )


def _first_in(every: Sequence[str], texts: Sequence[str]) -> tuple[str, str] | None:
    """The first markup, and the text that it is in."""
    return next(((found, t) for t in texts if (found := _first(every, t)) is not None), None)


def _first(every: Iterable[str], text: str) -> str | None:
    return next((one for one in every if one in text), None)


def markup_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of markup, which no text of a user's may become; the token of unknown letters may."""
    return _ids(tokenizer, markup(tokenizer))


@lru_cache(maxsize=8)
def _ids(tokenizer: Any, every: tuple[str, ...]) -> frozenset[int]:
    ids = {i for t, i in tokenizer.get_added_vocab().items() if t in every}
    return frozenset(ids - {tokenizer.unk_token_id})
