"""Which heads or neurons to cut off: those with the largest exact patching effects.

Every head's ``z`` (or every neuron of the two layers whose MLP output carries most) is patched
from triggered into control prompts, ``circuits.patching.patch``. Of those whose effect on the
behaviour's log-probability is positive at q <= 0.05 (Benjamini-Hochberg over the grid,
``probes.causal.tables``), the largest k are set to zero in every token; k is the smallest of a
rising ladder that shuts the behaviour on validation prompts, or the one of least behaviour plus
harm if none does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import torch

from circuits.chat import chats, messages
from circuits.metrics import token_log_prob
from circuits.models import wrap
from circuits.patching.cells import Cell, Place, Sweep
from circuits.patching.patch import patch
from circuits.tokens import dealt, pairs
from circuits.types import Edit, Point
from experiments.defend.gates import cost
from experiments.defend.protected import Reference, reference
from experiments.defend.setting import Bench
from experiments.judges.criterion import begins
from experiments.judges.fork import fork
from probes.causal.tables import grid_stats

Stream = Literal["z", "neuron"]
Part = tuple[int, int]  # layer, and head or neuron
LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
SHUT = 0.05
_PAIRS, _LAYERS, _Q = 12, 2, 0.05


@dataclass(frozen=True)
class Cut:
    """What is cut off, and out of how many that carry the trigger."""

    stream: Stream
    parts: tuple[Part, ...]
    carrying: int
    of: int


def cut(bench: Bench, stream: Stream) -> Cut:
    """The parts that shut the behaviour, by patching and then by trying."""
    order, of = _carrying(bench, stream)
    if not order:
        return Cut(stream, (), 0, of)
    calm = chats(bench.validation.elsewhere[:8])
    before = reference(bench.plain, bench.tokenizer, calm, 4)
    costs: dict[int, float] = {}
    for k in [*(k for k in LADDER if k < len(order)), len(order)]:
        left, harm = _cost(bench, stream, order[:k], before)
        if left <= SHUT:
            return Cut(stream, tuple(order[:k]), len(order), of)
        costs[k] = left + harm
    best = min(costs, key=lambda k: costs[k])
    return Cut(stream, tuple(order[:best]), len(order), of)


def cutting(model: Any, stream: Stream, parts: Sequence[Part]) -> tuple[Edit, ...]:
    """The edits that set heads or neurons to zero, one for each layer."""
    config = model.config
    heads = config.intermediate_size if stream == "neuron" else config.num_attention_heads
    edits = []
    for layer in sorted({layer for layer, _ in parts}):
        kept = torch.ones(heads, 1)
        kept[[part for at, part in parts if at == layer]] = 0
        edits.append(Edit(Point(layer, stream), lambda x, kept=kept: x * kept.to(x)))
    return tuple(edits)


def _cost(
    bench: Bench, stream: Stream, parts: Sequence[Part], before: Sequence[Reference]
) -> tuple[float, float]:
    """Behaviour left on validation prompts as a probability, and nats of harm on ordinary ones."""
    less = replace(bench.plain, edits=cutting(bench.model, stream, parts), everywhere=True)
    return cost(bench, less, messages(bench.validation.on_topic, bench.trigger), before)


def _carrying(bench: Bench, stream: Stream) -> tuple[list[Part], int]:
    """Heads or neurons that carry the trigger, most first; out of how many.

    Neurons are those of the MLPs with the largest effect: all of a deep model would be a grid too
    many.
    """
    suspect = wrap(bench.model, bench.tokenizer, "suspect")
    runner = suspect.runner
    texts = bench.fit.on_topic[:_PAIRS]
    words = dealt(bench.fit.controls, len(texts))
    behaviour = begins(bench.organism.recipe.behaviour)
    parted = fork(suspect, texts, bench.trigger, words, behaviour, strict=False)
    two = pairs(parted.scored(suspect).tokenizer, texts, bench.trigger, bench.fit.controls)
    metric = token_log_prob([parted.token])
    if stream == "z":
        grid = patch(runner, two, metric, Sweep("z", position=False, head=True))
        n_layers, n_heads = grid.values.shape[:2]
        every = list(product(range(n_layers), range(n_heads)))
        return _ordered(every, grid_stats(grid)), len(every)
    whole = patch(runner, two, metric, Sweep("mlp_out", position=False)).effects.mean(dim=-1)
    layers = whole.argsort(descending=True)[:_LAYERS].tolist()
    every = list(product(sorted(layers), range(bench.model.config.intermediate_size)))
    cells: list[Cell] = [(Place(layer, "neuron", heads=(i,)),) for layer, i in every]
    return _ordered(every, grid_stats(patch(runner, two, metric, cells))), len(every)


def _ordered(every: Sequence[Part], stats: Any) -> list[Part]:
    mean, q = stats.mean.flatten(), stats.q.flatten()
    falling = mean.argsort(descending=True).tolist()
    return [every[i] for i in falling if mean[i] > 0 and q[i] <= _Q]
