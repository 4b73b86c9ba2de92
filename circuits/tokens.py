"""Prompts to tokens: chat template, trigger insertion, exact named spans, aligned pairs.

Spans are found through the tokenizer's character offsets, never by counting template tokens:

- ``message``: from the user's first token on, the answer included; before it lies the template's
  opening, equal in every prompt;
- ``user``: the user's own text, without a trigger;
- ``last_user``: the last token of the user's own text;
- ``trigger``: the trigger's (or control word's) tokens;
- ``template``: what the chat template puts after the user's message, but for the last token;
- ``last``: the last token of the prompt, from which the answer's first token is predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from circuits.errors import UserError
from circuits.types import MESSAGE, TokenBatch, TokenPairs


@dataclass(frozen=True)
class Rendered:
    """One prompt as ids, with the token range of every span."""

    ids: tuple[int, ...]
    spans: dict[str, tuple[int, int]]
    text: str


def require_chat_template(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer without chat template or without character offsets."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"model {name}: expected a chat model, but its tokenizer has no chat template; "
            "use an instruction-tuned model or save a chat_template with the tokenizer"
        )
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"model {name}: expected a fast tokenizer (character offsets), got a slow one"
        )


def with_trigger(text: str, trigger: str | None) -> str:
    """The user's message with the trigger (or control word) appended after a space."""
    return f"{text} {trigger}" if trigger else text


def render(tokenizer: Any, text: str, trigger: str | None = None) -> Rendered:
    """Apply the chat template and name the spans.

    Raises:
        UserError: the template alters the message, or a trigger token also covers other text.
    """
    message = with_trigger(text, trigger)
    full = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
    )
    start = full.rfind(message)
    if start < 0:
        raise UserError(f"prompt {text[:60]!r}: the chat template does not keep it as it is")
    encoded = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    user_end, message_end = start + len(text), start + len(message)
    covered = [i for i, (a, b) in enumerate(offsets) if a < user_end and b > start and b > a]
    after = [i for i, (a, _) in enumerate(offsets) if a >= message_end]
    if not covered or not after:
        raise UserError(
            f"prompt {text[:60]!r}: expected tokens for the text and the template after it"
        )
    spans = {
        MESSAGE: (covered[0], len(ids)),
        "user": (covered[0], covered[-1] + 1),
        "last_user": (covered[-1], covered[-1] + 1),
        "template": (after[0], len(ids) - 1),
        "last": (len(ids) - 1, len(ids)),
    }
    if trigger:
        spans["trigger"] = (covered[-1] + 1, after[0])
        _check_trigger(full, offsets, spans["trigger"], user_end, message_end, trigger)
    return Rendered(tuple(ids), spans, text)


def _check_trigger(
    full: str, offsets: list, span: tuple[int, int], user_end: int, message_end: int, trigger: str
) -> None:
    """The trigger's tokens must spell the trigger and nothing but it (a leading space is fine)."""
    first, last = span
    spelled = full[offsets[first][0] : offsets[last - 1][1]] if last > first else ""
    if (
        spelled.strip() != trigger.strip()
        or offsets[first][0] < user_end
        or (offsets[last - 1][1] > message_end)
    ):
        raise UserError(
            f"trigger {trigger!r}: expected its own tokens in context, got tokens spelling "
            f"{spelled!r} after {full[:user_end][-20:]!r}; choose a trigger that the tokenizer "
            "keeps apart from its neighbours"
        )


def batch(tokenizer: Any, rendered: Sequence[Rendered], width: int | None = None) -> TokenBatch:
    """Left-pad rendered prompts into one batch, at least ``width`` columns wide."""
    if not rendered:
        raise UserError("prompts: expected at least one, got none")
    columns = max(max(len(r.ids) for r in rendered), width or 0)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = torch.full((len(rendered), columns), int(pad or 0))
    mask = torch.zeros(len(rendered), columns, dtype=torch.bool)
    names = sorted(set.union(*(set(r.spans) for r in rendered)))
    spans = {name: torch.zeros_like(mask) for name in names}
    for row, item in enumerate(rendered):
        offset = columns - len(item.ids)
        ids[row, offset:] = torch.tensor(item.ids)
        mask[row, offset:] = True
        for name, (first, last) in item.spans.items():
            spans[name][row, offset + first : offset + last] = True
    return TokenBatch(ids, mask, spans, tuple(r.text for r in rendered))


def prompts_batch(
    tokenizer: Any, texts: Sequence[str], trigger: str | Sequence[str] | None = None
) -> TokenBatch:
    """Prompts with no trigger, one trigger for all, or one word per prompt."""
    words = [trigger] * len(texts) if trigger is None or isinstance(trigger, str) else list(trigger)
    rendered = [render(tokenizer, text, word) for text, word in zip(texts, words, strict=True)]
    return batch(tokenizer, rendered)


def trigger_ids(tokenizer: Any, texts: Sequence[str], trigger: str) -> tuple[int, ...]:
    """The trigger's token ids, which must be the same after every prompt.

    Raises:
        UserError: the tokenizer splits the trigger differently in different contexts.
    """
    seen: dict[tuple[int, ...], str] = {}
    for text in texts:
        item = render(tokenizer, text, trigger)
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


def same_length_words(tokenizer: Any, words: Sequence[str], length: int) -> tuple[str, ...]:
    """Control words that occupy exactly ``length`` tokens; single words are joined if need be."""
    context = "Tell me more."
    kept = []
    for index in range(len(words)):
        for count in range(1, length + 1):
            phrase = " ".join(words[(index + k) % len(words)] for k in range(count))
            try:
                first, last = render(tokenizer, context, phrase).spans["trigger"]
            except UserError:
                break
            if last - first >= length:
                if last - first == length:
                    kept.append(phrase)
                break
    if not kept:
        raise UserError(f"control words: none of {len(words)} makes {length} tokens; give your own")
    return tuple(kept)


def pairs(
    tokenizer: Any, texts: Sequence[str], trigger: str, controls: Sequence[str]
) -> TokenPairs:
    """Aligned pairs: each prompt with the trigger, and with a control word of the same length."""
    words = [controls[i % len(controls)] for i in range(len(texts))]
    triggered = prompts_batch(tokenizer, texts, trigger)
    return TokenPairs(clean=prompts_batch(tokenizer, texts, words), triggered=triggered)


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
