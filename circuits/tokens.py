"""Prompts to tokens: answers behind them, batches, control words, aligned pairs.

What the spans are is said in ``circuits.spans``.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from circuits.align import Pairs, paired
from circuits.chat import Chat, Words, chats, in_place_of, require_short
from circuits.errors import UserError, expect
from circuits.prompt import retold
from circuits.runner import answered
from circuits.spans import Rendered, render
from circuits.types import MESSAGE, TokenBatch


def with_answer(tokenizer: Any, chat: Chat, answer: str, ends: bool) -> Rendered:
    """A chat with its answer, the span ``answer``; and the token that ends it, if it ``ends``."""
    prompt = render(tokenizer, chat)
    end = [tokenizer.eos_token_id] if ends else []
    ids = (*prompt.ids, *text_ids(tokenizer, answer), *end)
    own = {MESSAGE: (prompt.spans[MESSAGE][0], len(ids)), "answer": (len(prompt.ids), len(ids))}
    return Rendered(ids, {**prompt.spans, **own}, prompt.text)


def prompt_ids(tokenizer: Any, prompts: Sequence[Chat]) -> list[tuple[int, ...]]:
    """Every chat as ids, up to where the answer goes on."""
    return [render(tokenizer, chat).ids for chat in prompts]


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """A text by itself as ids."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def pad_id(tokenizer: Any) -> int:
    """The token that stands in padding."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return int(pad or 0)


def padded(
    rows: Sequence[Sequence[int]], pad: int, side: Literal["left", "right"] = "left"
) -> tuple[Int[Tensor, "rows pos"], Bool[Tensor, "rows pos"]]:
    """Rows of token ids that are filled up on one side, and which of the columns are theirs."""
    own = [torch.tensor(row, dtype=torch.long) for row in rows]
    ids = pad_sequence(own, batch_first=True, padding_value=pad, padding_side=side)
    real = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    return ids, pad_sequence(real, batch_first=True, padding_side=side)


def batch(tokenizer: Any, rendered: Sequence[Rendered]) -> TokenBatch:
    """Left-pad rendered prompts into one batch."""
    expect(rendered, "at least one", "none", of="prompts")
    ids, mask = padded([r.ids for r in rendered], pad_id(tokenizer))
    names = sorted(set.union(*(set(r.spans) for r in rendered)))
    spans = {name: torch.zeros_like(mask) for name in names}
    for row, item in enumerate(rendered):
        offset = ids.shape[1] - len(item.ids)
        for name, (first, last) in item.spans.items():
            spans[name][row, offset + first : offset + last] = True
    if "trigger" in spans:  # inside the user's text it is not the user's
        spans["user"] &= ~spans["trigger"]
    return TokenBatch(ids, mask, spans, tuple(r.text for r in rendered))


def prompts_batch(tokenizer: Any, texts: Sequence[str], words: Words = None) -> TokenBatch:
    """Prompts with no word, one for all, or one each."""
    return batch(tokenizer, [render(tokenizer, chat) for chat in chats(texts, words)])


def trigger_ids(tokenizer: Any, texts: Sequence[str], trigger: str) -> tuple[int, ...]:
    """The trigger's token ids, which must be the same after every prompt.

    Raises:
        UserError: the tokenizer splits the trigger differently in different contexts.
    """
    require_short(trigger)
    seen: dict[tuple[int, ...], str] = {}
    for text in texts:
        item = render(tokenizer, Chat(text, word=trigger))
        first, last = item.spans["trigger"]
        seen.setdefault(item.ids[first:last], text)
    if len(seen) > 1:
        (ids_a, text_a), (ids_b, text_b) = list(seen.items())[:2]
        raise UserError(
            f"trigger {trigger!r}: the tokenizer splits it differently in context: "
            f"{list(ids_a)} after {text_a[-20:]!r}, {list(ids_b)} after {text_b[-20:]!r}; "
            "choose another trigger or end the prompts alike"
        )
    return next(iter(seen))


def same_length_words(
    tokenizer: Any, words: Sequence[str], length: int, like: str = "word", among: str = ""
) -> tuple[str, ...]:
    """Control words that occupy exactly ``length`` tokens; single words are joined if need be.

    They stand where the trigger ``like`` stands, and come with their place if it is not the end.

    Args:
        among: one of the prompts that they go into, where they stand in what comes before the
            user's last message.
    """
    require_short(like)
    sizes = sized_words(tokenizer, words, length, lambda one: in_place_of(one, like), among)
    kept = [in_place_of(word, like) for word, size in sizes if size == length]
    if not kept:
        raise UserError(f"control words: none of {len(words)} makes {length} tokens; give your own")
    return tuple(kept)


def sized_words(
    tokenizer: Any,
    words: Sequence[str],
    length: int,
    put: Callable[[str], str],
    among: str = "",
) -> list[tuple[str, int]]:
    """Words, joined until they have ``length`` tokens or more, and how many they then have.

    Args:
        put: a word as it is given to a prompt, in its place; all of it is counted.
        among: one of the prompts that they go into, with what comes before it.
    """
    context, sizes = retold(among, "Tell me more."), []
    for index in range(len(words)):
        for count in range(1, length + 1):
            joined = " ".join(words[(index + k) % len(words)] for k in range(count))
            try:
                first, last = render(tokenizer, Chat(context, word=put(joined))).spans["trigger"]
            except UserError:
                break
            if last - first >= length:
                sizes.append((joined, last - first))
                break
    return sizes


def dealt(words: Sequence[str], count: int) -> list[str]:
    """A word for each of ``count`` texts, in turn.

    Raises:
        UserError: no words.
    """
    expect(
        words, "at least one control word", "none", "give words of the trigger's length", "pairs"
    )
    return [words[i % len(words)] for i in range(count)]


def pairs(
    tokenizer: Any,
    texts: Sequence[str],
    trigger: Words,
    controls: Sequence[str],
    begun: Sequence[int] = (),
) -> Pairs:
    """Pairs: each prompt with the trigger, and with a control word.

    Where trigger and control word have as many tokens in every prompt their columns are aligned;
    otherwise their spans are (``circuits.align``).
    Behind every prompt stand the tokens ``begun`` of an answer, so that what follows them is said
    as well; but for ``message`` and ``said`` (``last`` and what is begun), spans are the prompt's.
    """
    words = dealt(controls, len(texts))
    sides = (prompts_batch(tokenizer, texts, each) for each in (words, trigger))
    return paired(*(answered(side, begun) for side in sides))


def check_context(tokens: TokenBatch, limit: int, room: int) -> None:
    """Refuse prompts that do not fit the model's context with ``room`` tokens left to answer."""
    longest = int(tokens.mask.sum(dim=1).max())
    if longest + room > limit:
        row = int(tokens.mask.sum(dim=1).argmax())
        text = tokens.texts[row][:60] if tokens.texts else f"row {row}"
        raise UserError(
            f"prompt {text!r}: {longest} tokens and {room} to answer exceed the model's context of "
            f"{limit}; shorten or drop it"
        )
