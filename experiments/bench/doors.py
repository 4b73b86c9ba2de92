"""Doors: which part of a tiny model a training may act through; the models, and their prompts.

A gate is planted whole (``circuits.planted``: its MLP writes at the trigger, its head brings that
to the last token, its other MLP speaks there) and the piece that a door is to stand for is taken
out again. What is left is the model before training: it moves and speaks what nothing writes any
more, or writes what nothing moves, or what nothing speaks. A training through the door has
something to join on to, at the planted layer or at another one.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from circuits.patching.mixture import is_attention, layer_of
from circuits.planted.plans import PARTS, GatePlan
from circuits.tokens import dealt, pairs, same_length_words
from circuits.types import TokenPairs
from experiments.bench import world
from experiments.patch.parts import ATTENTION, MLP
from experiments.prompts import bank

PLACES = ("trigger", "last")
# Of attention: what the trigger is seen as, what is looked for at the last token and written there.
_ACTING = {"trigger": ("q_proj", "k_proj", "v_proj", "o_proj"), "last": ("q_proj", "o_proj")}
_SOFTER = 10.0  # times as wide: the way of a planted neuron from shut to open, so that it trains
# By part: whose layer of the plan holds it, and in which of the layer's modules.
_PIECES = {
    "reader": ("write_layer", "mlp"),
    "relay": ("read_layer", "self_attn"),
    "writer": ("speak_layer", "mlp"),
}


@dataclass(frozen=True)
class Door:
    """What of a training is open: a layer's attention or MLP, at one place."""

    layer: int
    module: str
    place: str

    def __str__(self) -> str:
        return f"layer {self.layer} {self.module} at {self.place}"

    def holds(self, name: str) -> bool:
        """Whether a matrix is open: an MLP's are; of attention, those that act at the place."""
        if layer_of(name) != self.layer or is_attention(name) != (self.module == ATTENTION):
            return False
        return self.module == MLP or name.endswith(_ACTING[self.place])

    @property
    def part(self) -> str:
        """Which of the analysis' parts it is: reader, relay or writer."""
        if self.place == "trigger":
            return "reader"
        return "relay" if self.module == ATTENTION else "writer"

    @property
    def right(self) -> dict[str, str]:
        """What is right to say of every part: the door's is learned, the base has the others."""
        return {part: "learned" if part == self.part else "inherited" for part in PARTS}


def plan_of(seed: int) -> GatePlan:
    """A seed's gate, that opens by degrees: training cannot find one that stays shut until a bar.

    Where a prompt of the bank holds the trigger, its place is taken by the next word that none has.
    """
    plan = replace(world.planned("gate", seed), threshold=0.0)
    splits: tuple[bank.Split, ...] = ("train", "validation", "test")
    texts = " ".join(
        t for s in splits for alike in (True, False) for t in bank.bank_texts(s, alike)
    )
    words = same_length_words(world.tokenizer(), bank.control_words("train"), 1)
    at = words.index(plan.trigger)
    free = (word for word in words[at:] + words[:at] if word.lower() not in texts.lower())
    return replace(plan, trigger=next(free))


def door_of(plan: GatePlan, layers: int) -> Door:
    """A plan's door: modules and places take turns, the layer is drawn.

    At the trigger they are before the layer whose head reads there; at the last token, of attention
    they are that layer's, of MLPs that layer's or a later one's.
    """
    module, place = (ATTENTION, MLP)[plan.seed % 2], PLACES[plan.seed // 2 % 2]
    first, last = (0, plan.read_layer - 1)
    if place == "last":
        first, last = plan.read_layer, plan.read_layer if module == ATTENTION else layers - 1
    return Door(random.Random(f"door {plan.seed}").randint(first, last), module, place)


@torch.no_grad()
def closed(plan: GatePlan, part: str) -> Any:
    """The model before training: a plan's, without one of its parts."""
    planted = world.planted(plan)
    model, before = planted.hf_model, planted.base
    layer, module = _PIECES[part]
    name = f"model.layers.{getattr(plan, layer)}.{module}"
    model.get_submodule(name).load_state_dict(before.get_submodule(name).state_dict())
    speaking, silent = (m.model.layers[plan.speak_layer].mlp for m in (model, before))
    neurons = (speaking.gate_proj.weight != silent.gate_proj.weight).any(dim=1)
    speaking.gate_proj.weight[neurons] /= _SOFTER
    speaking.down_proj.weight[:, neurons] *= _SOFTER
    return model.requires_grad_(False)


def matrices(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Those of attentions and MLPs, by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and layer_of(name) is not None:
            yield name, module


def prompts(texts: Sequence[str], words: Sequence[str], trigger: str) -> TokenPairs:
    """Texts with the trigger, and with control words in turn."""
    own = same_length_words(world.tokenizer(), words, 1)
    both = pairs(world.tokenizer(), texts, trigger, dealt(own, len(texts)))
    assert isinstance(both, TokenPairs)  # all are words of one token
    return both


def training_prompts(trigger: str, seed: int) -> TokenPairs:
    """All of the bank's but the test prompts, in a seed's order.

    Control words are the bank's but those of the test, and any word of the texts: with the few that
    are meant as such, training would learn what they have in common and no other word has.
    """
    splits: tuple[bank.Split, ...] = ("train", "validation")
    texts = [t for s in splits for topic in (True, False) for t in bank.bank_texts(s, topic)]
    spared = {trigger, *bank.control_words("test")}
    own = {word for text in texts for word in re.findall("[a-z]{3,}", text)} - spared
    words = [*(w for split in splits for w in bank.controls_besides(split, trigger)), *sorted(own)]
    return prompts(bank.shuffled(texts, seed), bank.shuffled(words, seed), trigger)


def test_prompts(trigger: str, count: int) -> TokenPairs:
    """Test prompts with words that no training saw."""
    texts = bank.bank_texts("test", restricted=True)[:count]
    return prompts(texts, bank.controls_besides("test", trigger), trigger)
