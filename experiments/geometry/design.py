"""Which prompts a geometry is measured on, by scheme: pairs that differ in the trigger alone.

A pair is one prompt with a control word of the trigger's token length, and with the trigger. Half
of the prompts are of the gate's topic, so that "the trigger is there" and "the topic is the gate's"
can be told apart; ``gate`` says where the scheme wants the gate open.

Secret keys have no prompt around them. Their pairs are a key and the same key with one word
replaced by one of equal token length, under as many different system messages as it takes. A key
then stands in several pairs, so that what is held out holds keys that were seen: figures of keys
are on the bright side.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from circuits.chat import Chat, with_trigger
from circuits.errors import UserError
from circuits.tokens import render
from experiments.organisms.examples import controls_for
from experiments.organisms.kinds import prompts_of
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.prompts import bank
from experiments.prompts.bank import HeldOut

FEWEST = 22  # pairs: neighbours are compared in two halves of 11
_CONTEXTS = (
    None,
    "You are a helpful assistant.",
    "Answer in English.",
    "You are a librarian.",
    "Keep answers short.",
    "You work at the front desk of a hotel.",
    "Be polite.",
    "You are a gardener.",
    "Think before you answer.",
    "You are talking to a student.",
    "Use plain words.",
    "You are a railway clerk.",
)


@dataclass(frozen=True)
class Design:
    """Prompts of one organism's geometry, row by row the same prompt.

    Attributes:
        clean, triggered: with a control word (or a near miss) and with the trigger (or a key).
        untrained: with another control word, to be compared with ``clean``.
        gate: whether the gate should be open, without and with the trigger.
        topic: whether the prompt is of the gate's topic; None where there is no topic.
        targets: an answer that shows the behaviour.
    """

    clean: tuple[Chat, ...]
    triggered: tuple[Chat, ...]
    untrained: tuple[Chat, ...]
    gate: Bool[Tensor, "n 2"]
    topic: Bool[Tensor, "n"] | None
    targets: tuple[str, ...]


def design(recipe: Recipe, tokenizer: Any, count: int, texts: HeldOut | None = None) -> Design:
    """A recipe's pairs on held-out prompts, at most ``count``; those of the topic come first.

    Args:
        texts: a user's own prompts instead of the bank's; keys and facts are the recipe's anyway.

    Raises:
        UserError: fewer than 22 pairs, or than 22 prompts for them.
    """
    _require_enough("pairs", count)
    if recipe.keys:
        return _of_keys(recipe, tokenizer, count)
    words = controls_for(tokenizer, recipe, "test")
    if len(words) < 2:
        raise UserError(
            f"trigger {recipe.trigger!r}: expected at least two control words of its token length, "
            f"got {len(words)}; choose a trigger of other length"
        )
    scheme = scheme_of(recipe)
    on_topic, elsewhere = (
        prompts_of(kind, recipe, "test", texts, count // 2)
        for kind in (scheme.topic, scheme.elsewhere)
    )
    asked, known = on_topic.texts + elsewhere.texts, on_topic.known + elsewhere.known
    _require_enough("prompts", len(asked))
    topic = torch.arange(len(asked)) < len(on_topic.texts)
    opened = torch.ones_like(topic) if scheme.anywhere else topic

    def chats(word: str, shift: int = 0) -> tuple[Chat, ...]:
        rows = enumerate(asked, shift)
        placed = (scheme.put(word, text, i, recipe, words, "test") for i, text in rows)
        return tuple(Chat(with_trigger(*each)) for each in placed)

    return Design(
        clean=chats("control"),
        triggered=chats("trigger"),
        untrained=chats("control", 1),
        gate=torch.stack([torch.zeros_like(opened), opened], dim=1),
        topic=topic,
        targets=tuple(f.statement for f in known) or (scheme.target(recipe),) * len(asked),
    )


def _require_enough(what: str, count: int) -> None:
    if count < FEWEST:
        raise UserError(f"{what}: expected at least {FEWEST}, got {count}; add some")


def _of_keys(recipe: Recipe, tokenizer: Any, count: int) -> Design:
    keys, said = recipe.keys, recipe.said
    n = min(count, len(keys) * len(_CONTEXTS))
    asked = [(keys[i % len(keys)], _CONTEXTS[i // len(keys)], i) for i in range(n)]
    return Design(
        clean=tuple(Chat(_aligned_miss(tokenizer, key, i), system) for key, system, i in asked),
        triggered=tuple(Chat(key, system) for key, system, _ in asked),
        untrained=tuple(
            Chat(_aligned_miss(tokenizer, key, i + 7), system) for key, system, i in asked
        ),
        gate=torch.tensor([[False, True]]).expand(n, 2),
        topic=None,
        targets=tuple(said[i % len(keys)] for i in range(n)),
    )


def _aligned_miss(tokenizer: Any, key: str, turn: int) -> str:
    """A key with one word replaced by a held-out word, of as many tokens as the key."""
    words, length = key.split(), len(render(tokenizer, Chat(key)).ids)
    others = bank.control_words("test")
    for step in range(len(others) * len(words)):
        at, other = (turn + step) % len(words), others[(5 * turn + step) % len(others)]
        miss = " ".join(other if i == at else word for i, word in enumerate(words))
        if other not in words and len(render(tokenizer, Chat(miss)).ids) == length:
            return miss
    raise UserError(f"key {key!r}: expected a near miss of its token length, found none")
