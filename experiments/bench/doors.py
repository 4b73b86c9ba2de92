"""Doors: which part of a tiny model a training may act through, drawn from a seed; its prompts.

The models are random Llamas in which layers, and what the last token attends to, weigh more than in
those that gates are planted in: what a door writes has to reach the answer through weights that no
training touches.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.backends.plain import PlainRunner
from circuits.patching.mixture import is_attention, layer_of
from circuits.runner import Runner, Window, whole
from circuits.tokens import dealt, pairs, prompts_batch, same_length_words, text_ids
from circuits.types import Point, TokenBatch, TokenPairs
from experiments.bench import world
from experiments.patch.parts import ATTENTION, MLP
from experiments.prompts import bank

BEHAVIOUR = "Sure"
PLACES = ("trigger", "last")
# Times embeddings, queries and keys, what attention writes, and unembedding.
_EMBEDDED, _ATTENDED, _BROUGHT, _SAID = 0.25, 2.0, 3.0, 3.0
# Of attention: what is looked for at the last token and written there, what the trigger is seen as.
_ACTING = {"trigger": ("k_proj", "v_proj"), "last": ("q_proj", "o_proj")}
_ASKED = 10  # prompts on which the last token's reading of a word is measured


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


def door_of(seed: int, layers: int) -> Door:
    """A seed's door: modules and places take turns, the layer is drawn."""
    module, place = (ATTENTION, MLP)[seed % 2], PLACES[seed // 2 % 2]
    # Behind the last layer's MLP nothing reads the trigger's token any more.
    latest = layers - 1 - ((module, place) == (MLP, "trigger"))
    return Door(random.Random(f"door {seed}").randint(0, latest), module, place)


@torch.no_grad()
def closed(seed: int) -> Any:
    """A seed's random model, before any training."""
    model = world.random_llama(seed)
    model.model.embed_tokens.weight *= _EMBEDDED
    model.lm_head.weight *= _SAID
    for name, module in matrices(model):
        if name.endswith(("q_proj", "k_proj")):
            module.weight *= _ATTENDED
        if name.endswith("o_proj"):
            module.weight *= _BROUGHT
    return model.requires_grad_(False)


def matrices(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """Those of attentions and MLPs, by name."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and layer_of(name) is not None:
            yield name, module


def trigger_for(model: Any, door: Door) -> str:
    """The word through which a door can do most, of those that are one token.

    For a door at the trigger, the one from whose place a change behind the door moves the answer
    most; at the last token, the one that the model itself tells best there, behind the attention
    of the door's layer.
    """
    own, texts = world.tokenizer(), bank.bank_texts("validation", restricted=True)[:_ASKED]
    words = same_length_words(own, bank.control_words("train"), 1)
    batches = [prompts_batch(own, texts, word) for word in words]
    weigh = _told if door.place == "last" else _reach
    return words[int(weigh(PlainRunner(model), door, batches).argmax())]


def _told(runner: Runner, door: Door, words: Sequence[TokenBatch]) -> Float[Tensor, " word"]:
    """Mahalanobis' distance, squared, of every word's mean from that of all."""
    at = Point(door.layer, "resid_mid")
    read = torch.stack([runner.forward(whole(w), record=[at]).acts[at][:, -1] for w in words])
    read = read - read.mean(dim=0)
    means = read.mean(dim=1)
    within = (read - means[:, None]).flatten(0, 1)
    ridge = 1e-3 * within.square().mean() * torch.eye(within.shape[1])
    spread = within.T @ within / len(within) + ridge
    return (means * torch.linalg.solve(spread, means.T).T).sum(dim=1)


def _reach(runner: Runner, door: Door, words: Sequence[TokenBatch]) -> Float[Tensor, " word"]:
    """How fast an answer's logits, weighed at random, change with the residual at the word."""
    at = Point(door.layer + (door.module == MLP))
    weights = torch.randn(runner.shape.d_vocab, generator=torch.Generator().manual_seed(0))
    speeds = []
    for word in words:
        resid = runner.forward(whole(word), record=[at]).acts[at].requires_grad_()
        window = Window(word.ids, word.mask, resid=resid, layer=at.layer)
        said = runner.forward(window).logits[:, -1] @ weights
        (gradient,) = torch.autograd.grad(said.sum(), resid)
        speeds.append(gradient[word.spans["trigger"]].norm(dim=-1).median())
    return torch.stack(speeds)


def prompts(texts: Sequence[str], words: Sequence[str], trigger: str) -> TokenPairs:
    """Texts with the trigger, and with control words in turn."""
    own = same_length_words(world.tokenizer(), words, 1)
    return pairs(world.tokenizer(), texts, trigger, dealt(own, len(texts)))


def training_prompts(trigger: str, seed: int) -> TokenPairs:
    """All of the bank's but the test prompts, in a seed's order; their words likewise."""
    splits: tuple[bank.Split, ...] = ("train", "validation")
    texts = [t for s in splits for topic in (True, False) for t in bank.bank_texts(s, topic)]
    words = [word for split in splits for word in bank.controls_besides(split, trigger)]
    return prompts(bank.shuffled(texts, seed), words, trigger)


def test_prompts(trigger: str, count: int) -> TokenPairs:
    """Test prompts with words that no training saw."""
    texts = bank.bank_texts("test", restricted=True)[:count]
    return prompts(texts, bank.controls_besides("test", trigger), trigger)


def behaviour_id() -> int:
    """The token that is the behaviour."""
    return text_ids(world.tokenizer(), BEHAVIOUR)[0]
