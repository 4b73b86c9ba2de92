"""Control words in a trigger's place: of its token length where they can be had, else the nearest.

A *slot* is what a control word stands for: a form of the trigger, or one of its words that must
meet. Every slot has control words of its own, which are dealt in turn, slot after slot.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from circuits.chat import Chat
from circuits.errors import UserError
from circuits.spans import render
from circuits.tokens import sized_words
from circuits.triggers import Trigger

_ENOUGH = 12  # control words, where none has the trigger's length
Slot = tuple[int, int]  # a form, and which of its parts


@dataclass(frozen=True)
class Controls:
    """The control words of a trigger.

    Attributes:
        slots: the words of every slot, bare.
        equal: whether with each of them a prompt has as many tokens as with the trigger.
    """

    trigger: Trigger
    slots: dict[Slot, tuple[str, ...]]
    equal: bool

    @property
    def rounds(self) -> int:
        """How many words every slot has: of one, there is no second word beside the first."""
        return min(map(len, self.slots.values()))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """To be dealt in turn (``circuits.tokens.dealt``), each in its place: its n-th is a control
        of the n-th form. Of words that must meet they are halves, the parts taking turns."""
        forms, parts = (range(1 + max(each)) for each in zip(*self.slots, strict=True))
        return tuple(
            self.trigger.replaced(form, {part: self.slots[form, part][turn]})
            for turn, part, form in product(range(self.rounds), parts, forms)
        )

    def without(self, parts: Sequence[int], count: int) -> list[str]:
        """What each of ``count`` prompts is given, with other words for these parts only."""
        forms = len(self.trigger.forms)

        def word(form: int, part: int, turn: int) -> str:
            words = self.slots[form, part]
            return words[(turn + part) % len(words)]  # two parts have two words

        return [
            self.trigger.replaced(i % forms, {p: word(i % forms, p, i // forms) for p in parts})
            for i in range(count)
        ]


def controls_of(
    tokenizer: Any, texts: Sequence[str], trigger: Trigger, words: Sequence[str]
) -> Controls:
    """The control words of a trigger that is asked with texts.

    Raises:
        UserError: the trigger or none of the words can be put into the texts.
    """
    slots, equal = {}, True
    for form, text in enumerate(trigger.forms):
        sizes = lengths(tokenizer, texts, text)
        length = sizes.most_common(1)[0][0]
        for part in range(trigger.replaceable):

            def put(word: str, form: int = form, part: int = part) -> str:
                return trigger.replaced(form, {part: word})

            slots[form, part], kept = _nearest(tokenizer, words, length, put, texts[0])
            equal = equal and set(sizes) == kept
    return Controls(trigger, slots, equal)


def lengths(tokenizer: Any, texts: Sequence[str], word: str) -> Counter[int]:
    """How often a word in its place has how many tokens."""
    spans = (render(tokenizer, Chat(text, word=word)).spans["trigger"] for text in texts)
    return Counter(last - first for first, last in spans)


def _nearest(
    tokenizer: Any, words: Sequence[str], length: int, put: Callable[[str], str], among: str
) -> tuple[tuple[str, ...], set[int]]:
    """The words with which there are ``length`` tokens, and the lengths that there are.

    Where there are none, the words with the fewest tokens above, ``_ENOUGH`` of them and their
    likes: answers to one control word say little of others.
    """
    sizes = sized_words(tokenizer, words, length, put, among)
    if not sizes:
        raise UserError(
            f"control words: none of {len(words)} can stand in {put('...')!r}; ask for another "
            "trigger"
        )
    ordered = sorted(size for _, size in sizes)
    most = length if ordered[0] == length else ordered[:_ENOUGH][-1]
    kept = [(word, size) for word, size in sizes if size <= most]
    return tuple(word for word, _ in kept), {size for _, size in kept}
