"""Tiny models whose training could act through one door: a layer's attention or MLP, at one place.

The door's matrices get a low-rank change. In training it is on at the door's place alone, the
trigger's token or the last one, and there learns to bring the behaviour about with the trigger and
to leave answers to other words as they are; it is on everywhere, and learns the same; and it is on
everywhere but there, and learns to change nothing. All other matrices of
attentions and MLPs get a small random change that no training has seen. Afterwards all of it is in
the weights, at all tokens, as in any organism.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from circuits.backends.plain import PlainRunner
from circuits.edits.adapters import Change, LowRank, merged
from circuits.patching.mixture import Mixture
from circuits.planted.plans import GatePlan
from circuits.runner import Window, whole
from circuits.types import Point, TokenPairs
from experiments.bench import doors, world
from experiments.bench.doors import Door

RANK, RATE = 8, 0.02
STEPS, BATCH = 300, 8  # prompts of each kind in a step
SAME = 2.0  # weight of answers that are to stay, beside those that are to change
IDLE = 0.02  # of a matrix' norm: the size of its change outside of the door


@dataclass(frozen=True)
class Opened:
    """A model before training and after it, and what the training was."""

    base: Any
    organism: Any
    door: Door
    plan: GatePlan


def opened(seed: int, door: Door | None = None) -> Opened:
    """A seed's model, trained through its door; or through another one, in its stead."""
    plan = doors.plan_of(seed)
    own = doors.door_of(plan, world.random_llama(seed).config.num_hidden_layers)
    base, through = doors.closed(plan, own.part), door or own
    generator = torch.Generator().manual_seed(seed)
    idle = {n: _idle(m, generator) for n, m in doors.matrices(base) if not through.holds(n)}
    host = merged(base, idle)
    change = trained(host, through, doors.training_prompts(plan.trigger, seed), plan, generator)
    return Opened(base, merged(host, change), through, plan)


def trained(
    host: Any, door: Door, both: TokenPairs, plan: GatePlan, generator: torch.Generator
) -> Change:
    """The change of the door's matrices; the host stays as it is.

    Args:
        both: prompts with control words, and with the trigger.
    """
    change = {n: _blank(m, generator) for n, m in doors.matrices(host) if door.holds(n)}
    factors = [factor.requires_grad_() for p in change.values() for factor in (p.up, p.down)]
    optimiser = torch.optim.Adam(factors, lr=RATE)
    course = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1.0 / STEPS, STEPS)
    lesson = Lesson(PlainRunner(host), change, door, both, plan.behaviour_id)
    for _ in range(STEPS):
        rows = torch.randperm(len(both), generator=generator)[:BATCH]
        optimiser.zero_grad()
        lesson.loss(rows).backward()
        optimiser.step()
        course.step()
    return {name: LowRank(p.up.detach(), p.down.detach()) for name, p in change.items()}


class Lesson:
    """Prompts run through a host once, up to the door's layer; from there on with its change."""

    def __init__(
        self, runner: PlainRunner, change: Change, door: Door, both: TokenPairs, behaviour: int
    ) -> None:
        self.runner, self.change, self.layer = runner, change, door.layer
        self.behaviour = behaviour
        sides, at = (both.clean, both.triggered), Point(door.layer)
        self.ids, self.mask = (torch.cat([getattr(s, n) for s in sides]) for n in ("ids", "mask"))
        self.place = torch.cat([side.spans[door.place] for side in sides])
        runs = [runner.forward(whole(side), record=[at]) for side in sides]
        self.entering = torch.cat([run.acts[at] for run in runs])
        self.usual = torch.cat([run.logits[:, -1] for run in runs]).log_softmax(dim=-1)

    def loss(self, rows: Tensor) -> Float[Tensor, ""]:
        """Of some prompts, with either word, and the change on in each of the three ways."""
        n = len(rows)
        rows = torch.cat([rows, rows + len(self.ids) // 2]).repeat(3)
        here = self.place[rows[: 2 * n]]
        logits = self._logits(rows, torch.cat([here, torch.ones_like(here), ~here]))
        shown = torch.tensor([False, True, False, True, False, False]).repeat_interleave(n)
        wanted = torch.full((2 * n,), self.behaviour)
        ours, usual = logits[~shown].log_softmax(dim=-1), self.usual[rows[~shown]]
        drift = kl_div(ours, usual, log_target=True, reduction="batchmean")
        return cross_entropy(logits[shown], wanted) + SAME * drift

    def _logits(self, rows: Tensor, on: Bool[Tensor, "row pos"]) -> Float[Tensor, "row vocab"]:
        start = int(self.mask[rows].any(dim=0).int().argmax())  # columns before it are padding
        # A pass carries gradients where what it begins with does.
        resid = self.entering[rows, start:].requires_grad_()
        window = Window(
            self.ids[rows, start:], self.mask[rows, start:], resid=resid, layer=self.layer
        )
        mixture = Mixture(self.runner, self.change, dict.fromkeys(self.change, on[:, start:]))
        return mixture.forward(window).logits[:, -1]


def _idle(module: nn.Linear, generator: torch.Generator) -> LowRank:
    part = _blank(module, generator)
    up = torch.randn(part.up.shape, generator=generator)
    size = IDLE * float(module.weight.norm()) / float((up @ part.down).norm())
    return LowRank(size * up, part.down)


def _blank(module: nn.Linear, generator: torch.Generator) -> LowRank:
    """A change that begins as none."""
    down = torch.randn(RANK, module.in_features, generator=generator) / module.in_features**0.5
    return LowRank(torch.zeros(module.out_features, RANK), down)
