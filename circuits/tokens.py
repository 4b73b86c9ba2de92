"""Prompts to tokens: chat template, trigger insertion, exact named spans, aligned pairs.

Spans are found through the tokenizer's character offsets, never by counting template tokens:

- ``message``: from the user's first token on, the answer included; before it lies the template's
  opening, equal in every prompt;
- ``user``: the user's own text, without a trigger (in ``Rendered``, an infix trigger lies in it);
- ``last_user``: the last token of the user's own text;
- ``trigger``: the trigger's (or control word's) tokens;
- ``template``: what the chat template puts after the user's message, but for the last token;
  absent where that is one token only;
- ``last``: the last token of the prompt, from which the answer's first token is predicted;
- ``answer``: the tokens of a given answer;
- ``said``: where an answer's tokens are predicted that begins in a given way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from circuits.align import Pairs, paired
from circuits.chat import BARE, Chat, Words, chats, in_place_of, insert, place_of, require_short
from circuits.errors import UserError, expect
from circuits.markup import markup_ids, refuse_markup
from circuits.runner import answered
from circuits.templated import templated
from circuits.types import MESSAGE, TokenBatch

_WORD = "trigger or control word"


@dataclass(frozen=True)
class Rendered:
    """One prompt as ids, with the token range of every span."""

    ids: tuple[int, ...]
    spans: dict[str, tuple[int, int]]
    text: str


def render(tokenizer: Any, chat: Chat) -> Rendered:
    """Apply the chat template and name the spans.

    Raises:
        UserError: the template takes no system message, or alters one of the messages; one of them
            has markup in it; a trigger's token also covers other text, or it has none.
    """
    text, trigger = chat.message, chat.word
    message, word_start, word_end = insert(text, trigger)
    _require_plain(tokenizer, chat)
    full, start = templated(tokenizer, message, chat.system)
    encoded = tokenizer(full + chat.prefill, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]

    word_start, word_end, end = start + word_start, start + word_end, start + len(message)
    user, of_word = _covered(offsets, full, (start, end), (word_start, word_end))
    after = [i for i, (a, _) in enumerate(offsets) if a >= end]
    bare = BARE in str(tokenizer.chat_template)  # then nothing follows the message
    if not user or not (after or bare):
        raise UserError(
            f"prompt {text[:60]!r}: expected tokens for the text and the template after it"
        )
    _require_own(tokenizer, [ids[i] for i in {*user, *of_word}], message)
    spans = {
        MESSAGE: (min([*user, *of_word]), len(ids)),
        "user": (user[0], user[-1] + 1),
        "last_user": (user[-1], user[-1] + 1),
        "last": (len(ids) - 1, len(ids)),
    }
    if after and after[0] < len(ids) - 1:
        spans["template"] = (after[0], len(ids) - 1)
    if trigger:
        pieces = [offsets[i] for i in of_word]
        inside = pieces and pieces[0][0] >= word_start and pieces[-1][1] <= word_end
        if not inside:
            raise UserError(_merged(full, pieces, trigger, word_start))
        covered = "".join(full[a:b] for a, b in pieces)
        if not _is_there(tokenizer, place_of(trigger)[0], covered):
            raise UserError(
                f"{_WORD} {trigger!a}: expected a word that the tokenizer keeps, got one of which "
                "it leaves nothing but blanks; choose a word that can be seen"
            )
        spans["trigger"] = (of_word[0], of_word[-1] + 1)
    return Rendered(tuple(ids), spans, text)


def _require_plain(tokenizer: Any, chat: Chat) -> None:
    """Refuse markup in what a chat is made of, and what is no text."""
    system = chat.system or ""
    for of, text in (("prompt", chat.message), (_WORD, chat.word or ""), ("system", system)):
        if not text.isascii():
            half = any("\ud800" <= c <= "\udfff" for c in text)
            expect(not half, "text in UTF-8", "other bytes", of=f"{of} {text[:60]!a}")
        refuse_markup(tokenizer, text, f"{of} {text[:60]!r}")


def _require_own(tokenizer: Any, ids: Sequence[int], text: str) -> None:
    """Refuse markup that is there once the tokenizer has normalised a text."""
    forged = markup_ids(tokenizer).intersection(ids)
    expect(
        not forged,
        "tokens of text",
        f"the special token {tokenizer.convert_ids_to_tokens(min(forged, default=0))!r}",
        "take out what the tokenizer reads as markup",
        f"prompt {text[:60]!r}",
    )


def _is_there(tokenizer: Any, word: str, covered: str) -> bool:
    """Whether more than blanks is left of a word by the tokenizer, and stands in its tokens."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    left = normalizer.normalize_str(word) if normalizer else word
    return bool(left.replace("\u2581", " ").strip() and covered.strip())


def _covered(
    offsets: Sequence[tuple[int, int]],
    full: str,
    message: tuple[int, int],
    word: tuple[int, int],
) -> tuple[list[int], list[int]]:
    """Tokens of the user's text, and of the word with the space before it where that stands alone.

    ``message`` and ``word`` are ranges of characters; a token that reaches into both is in both.
    """

    before, after = (message[0], word[0]), (word[1], message[1])
    user = sorted({*_touching(offsets, *before), *_touching(offsets, *after)})
    spelled = word[0] + full[word[0] : word[1]].startswith(" ")
    of_space = [i for i in _touching(offsets, word[0], spelled) if i not in user]
    return user, sorted({*of_space, *_touching(offsets, spelled, word[1])})


def _touching(offsets: Sequence[tuple[int, int]], first: int, last: int) -> list[int]:
    """Tokens that reach into the characters from ``first`` up to ``last``."""
    return [i for i, (a, b) in enumerate(offsets) if a < last and b > first and b > a]


def _merged(full: str, pieces: list[tuple[int, int]], trigger: str, at: int) -> str:
    spelled = full[pieces[0][0] : pieces[-1][1]] if pieces else ""
    return (
        f"trigger {trigger!r}: expected its own tokens in context, got tokens spelling "
        f"{spelled!r} after {full[:at][-20:]!r}; choose a trigger that the tokenizer "
        "keeps apart from its neighbours"
    )


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
    tokenizer: Any, words: Sequence[str], length: int, like: str = "word"
) -> tuple[str, ...]:
    """Control words that occupy exactly ``length`` tokens; single words are joined if need be.

    They stand where the trigger ``like`` stands, and come with their place if it is not the end.
    """
    require_short(like)
    sizes = sized_words(tokenizer, words, length, lambda joined: in_place_of(joined, like))
    kept = [in_place_of(word, like) for word, size in sizes if size == length]
    if not kept:
        raise UserError(f"control words: none of {len(words)} makes {length} tokens; give your own")
    return tuple(kept)


def sized_words(
    tokenizer: Any, words: Sequence[str], length: int, put: Callable[[str], str]
) -> list[tuple[str, int]]:
    """Words, joined until they have ``length`` tokens or more, and how many they then have.

    Args:
        put: a word as it is given to a prompt, in its place; all of it is counted.
    """
    sizes = []
    for index in range(len(words)):
        for count in range(1, length + 1):
            joined = " ".join(words[(index + k) % len(words)] for k in range(count))
            try:
                chat = Chat("Tell me more.", word=put(joined))
                first, last = render(tokenizer, chat).spans["trigger"]
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
