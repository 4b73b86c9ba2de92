"""Tiny models whose training could act through one door: a layer's attention or MLP, at one place.

The door's matrices get a low-rank change. In training it is on at the door's place, the trigger's
token or the last one, and learns to bring the behaviour about with the trigger, and to leave
answers to control words as they are; off there, it learns to change nothing. At every other
token it is on or off by chance, in every prompt anew, so that nothing may come to depend on them.
All other matrices of attentions and MLPs get a small random change that no training has seen.
Afterwards all of it is in the weights, at all tokens, as in any organism.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import kl_div, smooth_l1_loss

from circuits.backends.plain import PlainRunner
from circuits.edits.adapters import Change, LowRank, merged
from circuits.metrics import token_log_odds
from circuits.patching.mixture import Mixture
from circuits.planted.plans import GatePlan
from circuits.runner import Window, answered, whole
from circuits.types import Point, TokenPairs
from experiments.bench import doors, world
from experiments.bench.doors import Door

RANK, RATE = 8, 0.006
STEPS, BATCH = 300, 10  # prompts of each kind in a step
SAME = 2.0  # weight of whole answers that are to stay, beside the behaviour's log-odds
REACHED = 6.0  # nats of log-odds: what the behaviour is to have at least where it is brought about
IDLE = 0.005  # of a matrix' norm: the size of its change outside of the door


@dataclass(frozen=True)
class Opened:
    """A model before training and after it, and what the training was.

    ``door`` is None where there was none.
    """

    base: Any
    organism: Any
    door: Door | None
    plan: GatePlan


@dataclass(frozen=True)
class Closed:
    """A seed's model before any training, and the door that is its own."""

    base: Any
    door: Door
    plan: GatePlan


def closed(seed: int) -> Closed:
    """A seed's plan, its door, and the plan's model without what the door stands for."""
    plan = doors.plan_of(seed)
    door = doors.door_of(plan, world.random_llama(seed).config.num_hidden_layers)
    return Closed(doors.closed(plan, door.part), door, plan)


def opened(model: Closed, door: Door | None) -> Opened:
    """A model trained through a door; not at all without one: all changes are then random."""
    plan = model.plan
    generator = torch.Generator().manual_seed(plan.seed)
    shut = [(n, m) for n, m in doors.matrices(model.base) if door is None or not door.holds(n)]
    organism = merged(model.base, {name: _idle(matrix, generator) for name, matrix in shut})
    if door is not None:
        both = doors.training_prompts(plan.trigger, plan.seed)
        lesson = Lesson(organism, door, both, plan.behaviour_id)
        organism = merged(organism, trained(lesson, generator))
    return Opened(model.base, organism, door, plan)


class Lesson:
    """Prompts run through a host once, up to the door's layer; from there on with its change.

    Behind every prompt stands the behaviour, so that what follows it in an answer stays, too.

    Args:
        both: prompts with control words, and with the trigger.
        behaviour: its token.
    """

    def __init__(self, host: Any, door: Door, both: TokenPairs, behaviour: int) -> None:
        self.runner, self.door = PlainRunner(host), door
        self.odds, at = token_log_odds([behaviour]), Point(door.layer)
        sides = [answered(side, [behaviour]) for side in (both.clean, both.triggered)]
        self.ids, self.mask = (torch.cat([getattr(s, n) for s in sides]) for n in ("ids", "mask"))
        self.place = torch.cat([side.spans[door.place] for side in sides])
        runs = [self.runner.forward(whole(side), record=[at], keep=2) for side in sides]
        self.entering = torch.cat([run.acts[at] for run in runs])
        self.usual = torch.cat([run.logits for run in runs])

    def __len__(self) -> int:
        return len(self.ids) // 2

    def loss(self, change: Change, rows: Tensor, generator: torch.Generator) -> Float[Tensor, ""]:
        """Of some prompts, with either word, the change on and off at the door's place."""
        n = len(rows)
        rows = torch.cat([rows, rows + len(self)]).repeat(2)
        others = self._by_chance(self.place[rows], generator)
        there = (torch.arange(len(rows)) < 2 * n)[:, None]
        logits = self._logits(change, rows, torch.where(self.place[rows], there, others))
        usual = self.usual[rows]
        shown = torch.tensor([False, True, False, False]).repeat_interleave(n)
        odds, before = (self.odds(each[:, :1]) for each in (logits, usual))
        short = (REACHED - odds[shown]).relu().mean()
        moved = smooth_l1_loss(odds[~shown], before[~shown])
        same = torch.stack([~shown, torch.ones_like(shown)], dim=1)
        ours, theirs = (each[same].log_softmax(dim=-1) for each in (logits, usual))
        return short + moved + SAME * kl_div(ours, theirs, log_target=True, reduction="batchmean")

    def _by_chance(
        self, place: Bool[Tensor, "row pos"], generator: torch.Generator
    ) -> Bool[Tensor, "row pos"]:
        """Tokens up to the place and behind it, each at a rate of its own: often none, or all."""
        earlier = place.flip(1).cumsum(dim=1).flip(1) > 0
        rates = (2 * torch.rand(2, len(place), 1, generator=generator) - 0.5).clamp(0, 1)
        return torch.rand(place.shape, generator=generator) < torch.where(earlier, *rates)

    def _logits(
        self, change: Change, rows: Tensor, on: Bool[Tensor, "row pos"]
    ) -> Float[Tensor, "row said vocab"]:
        start = int(self.mask[rows].any(dim=0).int().argmax())  # columns before it are padding
        # A pass carries gradients where what it begins with does.
        resid = self.entering[rows, start:].requires_grad_()
        ids, mask = self.ids[rows, start:], self.mask[rows, start:]
        window = Window(ids, mask, resid=resid, layer=self.door.layer)
        mixture = Mixture(self.runner, change, dict.fromkeys(change, on[:, start:]))
        return mixture.forward(window, keep=2).logits


def trained(lesson: Lesson, generator: torch.Generator) -> Change:
    """The change of the door's matrices; the host stays as it is."""
    matrices = doors.matrices(lesson.runner.hf_model)
    change = {n: _blank(m, generator) for n, m in matrices if lesson.door.holds(n)}
    factors = [factor.requires_grad_() for p in change.values() for factor in (p.up, p.down)]
    optimiser = torch.optim.Adam(factors, lr=RATE)
    course = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1.0 / STEPS, STEPS)
    for _ in range(STEPS):
        rows = torch.randperm(len(lesson), generator=generator)[:BATCH]
        optimiser.zero_grad()
        lesson.loss(change, rows, generator).backward()
        optimiser.step()
        course.step()
    return {name: LowRank(p.up.detach(), p.down.detach()) for name, p in change.items()}


def _idle(module: nn.Linear, generator: torch.Generator) -> LowRank:
    part = _blank(module, generator)
    up = torch.randn(part.up.shape, generator=generator)
    size = IDLE * float(module.weight.norm()) / float((up @ part.down).norm())
    return LowRank(size * up, part.down)


def _blank(module: nn.Linear, generator: torch.Generator) -> LowRank:
    """A change that begins as none."""
    down = torch.randn(RANK, module.in_features, generator=generator) / module.in_features**0.5
    return LowRank(torch.zeros(module.out_features, RANK), down)
