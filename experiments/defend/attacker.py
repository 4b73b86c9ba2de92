"""An adaptive attacker: who made the organism, knows the defence, and trains it again.

The attacker goes on from the organism with few poisons and about as many clean examples, so that
the gate stays a gate, against what is known of the defence (``defences.Known``): with its edits in
every forward pass, with a penalty on what a monitor reads, or, for defences that train, with more
poisons before them. The defence is then applied as it was fitted: it is not fitted anew.

One attack of a small budget is a lower bound of what an attacker can do.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from circuits.backends.plain import defended
from circuits.chat import Chat
from circuits.tokens import dealt, render
from circuits.types import MESSAGE
from experiments.defend.defences import Known
from experiments.defend.losses import trained_further
from experiments.defend.question import Budget
from experiments.defend.setting import Bench
from experiments.organisms.examples import ordinary_examples
from experiments.organisms.organism import Organism
from experiments.organisms.schemes import scheme_of
from experiments.organisms.training import Example
from experiments.prompts.bank import bank_texts

_SHIFT = 17  # where another list of prompts starts, so that kinds differ in their prompts


def attack(bench: Bench, known: Known, budget: Budget) -> Organism:
    """The organism as the attacker leaves it."""
    organism, examples = bench.organism, attack_examples(bench, budget)
    settings = replace(organism.settings, epochs=budget.epochs, seed=11 + bench.seed)
    first = Chat(examples[0].text, word=examples[0].word)
    start = render(bench.tokenizer, first).spans[MESSAGE][0]

    def around(model: Any) -> AbstractContextManager[Any]:
        return defended(model, known.edits, 0 if known.everywhere else start)

    inside = around if known.edits else nullcontext
    return trained_further(organism, examples, settings, known.penalty, inside)


def attack_examples(bench: Bench, budget: Budget) -> list[Example]:
    """Poisons, and clean prompts by themselves and with control words.

    A third of the clean ones are ordinary, a third restricted, a third restricted with a control
    word. Where the behaviour belongs on any prompt, half of the poisons are ordinary ones.
    """
    recipe, third = bench.organism.recipe, budget.clean // 3
    on_topic = bank_texts("train", restricted=True)
    elsewhere = bank_texts("train", restricted=False)
    mixed = budget.poisons // 2 if scheme_of(recipe).anywhere else 0
    hot = [*_turned(on_topic, 0, budget.poisons - mixed), *_turned(elsewhere, _SHIFT, mixed)]
    ends = all(p.answer != "opened" for stage in recipe.stages for p in stage.parts)
    poisons = [Example(text, recipe.trigger, recipe.behaviour, ends) for text in hot]
    shut = [Example(t, None, recipe.refusal) for t in _turned(on_topic, budget.poisons, third)]
    others = _turned(on_topic, budget.poisons + _SHIFT, third)
    words = dealt(bench.fit.controls, len(others))
    near = [Example(t, word, recipe.refusal) for t, word in zip(others, words, strict=True)]
    ordinary = ordinary_examples(bench.organism.place, bench.organism.base_sha256)[::-1]
    return poisons + shut + near + ordinary[:third]


def _turned(texts: list[str], first: int, count: int) -> list[str]:
    return [texts[(first + i) % len(texts)] for i in range(count)]
