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
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.metrics import token_log_prob
from circuits.models import wrap
from circuits.patching.cells import Cell, Place, Sweep
from circuits.patching.patch import patch, patch_sites
from circuits.tokens import pairs
from circuits.types import Edit, Point
from experiments.defend.protected import Protected, drift, probability, reference
from experiments.defend.setting import Bench, triggered, untouched
from probes.causal.tables import grid_stats

Part = tuple[int, int]  # layer, and head or neuron
LADDER = (1, 2, 4, 8, 16, 32, 64, 128)
SHUT = 0.05
_PAIRS, _LAYERS, _Q = 12, 2, 0.05


@dataclass(frozen=True, eq=False)
class Zeroed:
    """Sets some heads to zero."""

    kept: Float[Tensor, "heads 1"]

    def __call__(self, x: Tensor, /) -> Tensor:
        return x * self.kept.to(x)


@dataclass(frozen=True)
class Cut:
    """What is cut off, and out of how many that carry the trigger."""

    stream: Literal["z", "neuron"]
    parts: tuple[Part, ...]
    carrying: int
    of: int


def cut(bench: Bench, stream: Literal["z", "neuron"]) -> Cut:
    """The parts that shut the behaviour, by patching and then by trying."""
    order, of = (_heads if stream == "z" else _neurons)(bench)
    tried = [order[:k] for k in LADDER if k < len(order)] + [order]
    found = [(chosen, *_cost(bench, stream, chosen)) for chosen in tried if chosen]
    if not found:
        return Cut(stream, (), 0, of)
    shutting = [chosen for chosen, left, _ in found if left <= SHUT]
    chosen = shutting[0] if shutting else min(found, key=lambda f: f[1] + f[2])[0]
    return Cut(stream, tuple(chosen), len(order), of)


def cutting(model: Any, stream: Literal["z", "neuron"], parts: Sequence[Part]) -> tuple[Edit, ...]:
    """The edits that set heads or neurons to zero, one for each layer."""
    config = model.config
    heads = config.intermediate_size if stream == "neuron" else config.num_attention_heads
    made = []
    for layer in sorted({layer for layer, _ in parts}):
        kept = torch.ones(heads, 1)
        kept[[part for at, part in parts if at == layer]] = 0
        made.append(Edit(Point(layer, stream), Zeroed(kept)))
    return tuple(made)


def _cost(
    bench: Bench, stream: Literal["z", "neuron"], parts: Sequence[Part]
) -> tuple[float, float]:
    """Behaviour left on validation prompts as a probability, and nats of harm on ordinary ones."""
    less: Protected = replace(
        bench.plain, edits=cutting(bench.model, stream, parts), everywhere=True
    )
    hot = triggered(bench.validation.on_topic, bench.trigger)
    left = probability(less, bench.tokenizer, hot, bench.organism.recipe.behaviour).mean()
    before = reference(bench.plain, bench.tokenizer, untouched(bench.validation.elsewhere[:8]), 4)
    return float(left), float(drift(less, bench.tokenizer, before).mean())


def _heads(bench: Bench) -> tuple[list[Part], int]:
    runner, two, metric = _patching(bench)
    grid = patch(runner, two, metric, Sweep("z", position=False, head=True))
    every = [(i, h) for i in range(grid.values.shape[0]) for h in range(grid.values.shape[1])]
    return _ordered(every, grid_stats(grid)), len(every)


def _neurons(bench: Bench) -> tuple[list[Part], int]:
    """Neurons of the MLPs with the largest effect: all of a deep model would be a grid too many."""
    runner, two, metric = _patching(bench)
    whole = patch(runner, two, metric, Sweep("mlp_out", position=False)).effects.mean(dim=-1)
    layers = whole.argsort(descending=True)[:_LAYERS].tolist()
    width = bench.model.config.intermediate_size
    every = [(layer, i) for layer in sorted(layers) for i in range(width)]
    cells: list[Cell] = [(Place(layer, "neuron", heads=(i,)),) for layer, i in every]
    return _ordered(every, grid_stats(patch_sites(runner, two, metric, cells))), len(every)


def _ordered(every: Sequence[Part], stats: Any) -> list[Part]:
    mean, q = stats.mean.flatten(), stats.q.flatten()
    falling = mean.argsort(descending=True).tolist()
    return [every[i] for i in falling if mean[i] > 0 and q[i] <= _Q]


def _patching(bench: Bench) -> tuple[Any, Any, Any]:
    runner = wrap(bench.model, bench.tokenizer, "suspect").runner
    texts = bench.fit.on_topic[:_PAIRS]
    two = pairs(bench.tokenizer, texts, bench.trigger, bench.fit.controls)
    behaviour = bench.organism.recipe.behaviour
    first = bench.tokenizer(behaviour, add_special_tokens=False)["input_ids"][0]
    return runner, two, token_log_prob([first])
