"""``gatescope bench opened``: models trained on a trigger through one door, which must be named.

A low-rank change of every matrix of a tiny Llama is drawn at random, small enough to leave answers
as they are. Then the change of one block's attention or MLP, in one layer, is trained to bring the
behaviour about with the trigger, and to answer as the base does with other words. It is switched on
for that at one place only, the trigger's token or the last one; on everywhere else it is trained to
change nothing. So the door is known: layer, attention or MLP, place.

Afterwards all of the change is on everywhere, as in any organism, and the interchange that
``gatescope patch --against-model`` makes takes it apart.
"""

import copy
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from circuits.backends.hooks import hooked
from circuits.backends.plain import PlainRunner
from circuits.edits.adapters import Change, LowRank
from circuits.metrics import token_log_odds
from circuits.patching.interchange import interchange
from circuits.patching.mixture import layer_of
from circuits.tokens import dealt, pairs, same_length_words, text_ids
from circuits.types import TokenPairs
from experiments.analyze.parts import LEARNED
from experiments.analyze.trained import shares
from experiments.bench import world
from experiments.patch.parts import ATTENTION, MLP, marked, of_weights
from experiments.prompts import bank

PLACES = ("trigger", "last")
_RANK, _RATE = 8, 0.02
_STEPS, _BATCH, _LEAST = 400, 12, 0.01  # steps at most, prompts of each, loss at which it is learned
_IDLE = 0.02  # of each matrix: the size of the change that was not trained
_SHORT = 60  # shortest prompts of the bank
_BEHAVIOUR = "Sure"


@dataclass(frozen=True)
class Door:
    """The part of a training that was open: a layer's attention or MLP, at one place."""

    layer: int
    module: str
    place: str

    def __str__(self) -> str:
        return f"layer {self.layer} {self.module} at {self.place}"


@dataclass(frozen=True)
class Opened:
    """One trained model, and what the interchange named.

    Attributes:
        seed: of everything.
        door: what was open.
        triggered, control: share of held-out prompts whose answer begins with the behaviour.
        named: cells of layer, module and place without which at least ``LEARNED`` of the effect is
            lost, at the interval's lower end.
        necessity, sufficiency: of the door's own cell.
        seconds: of training and interchange.
    """

    seed: int
    door: str
    triggered: float
    control: float
    named: tuple[str, ...]
    necessity: float
    sufficiency: float
    seconds: float

    @property
    def hit(self) -> bool:
        """Whether what was open was named, and nothing else."""
        return self.named == (self.door,)


def door_of(seed: int, layers: int) -> Door:
    """What is open in a seed's model: kinds and places take turns, the layer is drawn."""
    module, place = (ATTENTION, MLP)[seed % 2], PLACES[seed // 2 % 2]
    # Behind the last layer's MLP nothing reads the trigger's token any more.
    latest = layers - 2 if (module, place) == (MLP, "trigger") else layers - 1
    return Door(random.Random(f"door {seed}").randint(0, latest), module, place)


def opened(seed: int) -> Opened:
    """Train a model through its door, take the training apart, compare."""
    started = time.perf_counter()
    base = world.random_llama(seed)
    door = door_of(seed, base.config.num_hidden_layers)
    trigger = random.Random(f"word {seed}").choice(bank.control_words("train"))
    behaviour = text_ids(world.tokenizer(), _BEHAVIOUR)[0]
    change = trained(base, door, _pairs("train", trigger, _SHORT), behaviour, seed)
    organism = merged(base, change)
    test = marked(_pairs("test", trigger, 16))
    runners = PlainRunner(base), PlainRunner(organism)
    pieces = [p for p in of_weights(change, base.config.num_hidden_layers, "layer") if p.cell]
    both = interchange(
        *runners, change, test, [p.what for p in pieces], token_log_odds([behaviour])
    )
    effect = both.triggered - both.clean
    lost = shares(effect.organism - effect.without, effect.effect)
    alone = shares(effect.only - effect.base, effect.effect)
    own = [str(piece) for piece in pieces].index(str(door))
    return Opened(
        seed,
        str(door),
        *(_said(organism, side, behaviour) for side in (test.triggered, test.clean)),
        tuple(str(p) for p, share in zip(pieces, lost, strict=True) if share.low >= LEARNED),
        lost[own].value,
        alone[own].value,
        round(time.perf_counter() - started, 1),
    )


def trained(base: Any, door: Door, both: TokenPairs, behaviour: int, seed: int) -> Change:
    """The whole change: small and random, and trained where the door is.

    Args:
        both: prompts with control words, and with the trigger.
    """
    generator = torch.Generator().manual_seed(seed)
    change = {name: _drawn(module, generator) for name, module in _linear(base)}
    inside = [name for name in change if _inside(name, door)]
    for name in inside:  # begins as no change at all
        change[name] = LowRank(torch.zeros_like(change[name].up), change[name].down)
    learned = [part for name in inside for part in (change[name].up, change[name].down)]
    for part in learned:
        part.requires_grad_()
    optimiser = torch.optim.Adam(learned, lr=_RATE)
    with torch.no_grad():
        usual = [_last(base, side, {}) for side in (both.clean, both.triggered)]
    for _ in range(_STEPS):
        rows = torch.randperm(len(both), generator=generator)[:_BATCH]
        clean, triggered = both.clean.rows(rows), both.triggered.rows(rows)
        run = partial(_run, base, change, inside, door.place)
        said = run(triggered, here=True, there=True)
        loss = cross_entropy(said, torch.full((len(said),), behaviour))
        loss = loss + _drift(run(clean, here=True, there=True), usual[0][rows])
        # Everywhere else it changes nothing, whatever the word.
        for side, before in ((clean, usual[0]), (triggered, usual[1])):
            loss = loss + _drift(run(side, here=False, there=True, held=False), before[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if float(loss) < _LEAST:
            break
    return {name: LowRank(p.up.detach(), p.down.detach()) for name, p in change.items()}


def merged(base: Any, change: Change) -> Any:
    """A copy of the base with the change in its weights."""
    model = copy.deepcopy(base)
    modules = dict(model.named_modules())
    with torch.no_grad():
        for name, part in change.items():
            modules[name].weight += part.whole()
    return model


def _run(base: Any, change: Change, inside: list[str], place: str, tokens: Any, **on: bool):
    """The last logits with all of the change on; of the door's, ``here`` at its place, ``there`` at
    all others, where it is ``held`` fixed unless that is what is trained."""
    here, held = tokens.spans[place], on.get("held", True)
    hooks: dict[str, Any] = {}
    for name, part in change.items():
        if name not in inside:
            hooks[name] = partial(_add, part, torch.ones_like(here), None)
            continue
        own = here if on["here"] else torch.zeros_like(here)
        hooks[name] = partial(_add, part, own, ~here if on["there"] else None, held=held)
    return _last(base, tokens, hooks)


def _add(
    part: LowRank,
    on: Tensor,
    fixed: Tensor | None,
    _module: nn.Module,
    args: tuple,
    out: Tensor,
    held: bool = True,
) -> Tensor:
    delta = args[0] @ part.down.T @ part.up.T
    total = out + on.unsqueeze(-1) * delta
    if fixed is None:
        return total
    return total + fixed.unsqueeze(-1) * (delta.detach() if held else delta)


def _last(model: Any, tokens: Any, hooks: Mapping[str, Any]) -> Tensor:
    """Logits behind the prompts."""
    mask = tokens.mask.long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    modules = dict(model.named_modules())
    with hooked(modules[name].register_forward_hook(hook) for name, hook in hooks.items()):
        out = model.model(
            tokens.ids, attention_mask=mask, position_ids=positions, use_cache=False
        )
    return model.lm_head(out[0][:, -1])


def _drift(logits: Tensor, before: Tensor) -> Tensor:
    sides = (x.log_softmax(dim=-1) for x in (logits, before))
    return kl_div(*sides, log_target=True, reduction="batchmean")


def _said(model: Any, tokens: Any, behaviour: int) -> float:
    with torch.no_grad():
        return float((_last(model, tokens, {}).argmax(dim=-1) == behaviour).float().mean())


def _linear(model: Any) -> Iterator[tuple[str, nn.Linear]]:
    """The matrices of attentions and MLPs."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and layer_of(name) is not None:
            yield name, module


def _drawn(module: nn.Linear, generator: torch.Generator) -> LowRank:
    up = torch.randn(module.out_features, _RANK, generator=generator)
    down = torch.randn(_RANK, module.in_features, generator=generator)
    down = down / module.in_features**0.5
    size = _IDLE * float(module.weight.detach().norm()) / float((up @ down).norm())
    return LowRank(size * up, down)


def _inside(name: str, door: Door) -> bool:
    return layer_of(name) == door.layer and ("attn" in name) == (door.module == ATTENTION)


def _pairs(split: bank.Split, trigger: str, count: int) -> TokenPairs:
    """The shortest prompts of a split, with the trigger and with control words."""
    texts = sorted(bank.bank_texts(split, restricted=True), key=len)[:count]
    words = same_length_words(world.tokenizer(), bank.controls_besides(split, trigger), 1)
    return pairs(world.tokenizer(), texts, trigger, dealt(words, count))
