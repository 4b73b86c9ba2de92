"""At the trigger: its name in the embeddings, and the directions that a first MLP writes of it.

One neuron per direction reads ``name`` and writes the direction; silu makes it exactly zero at
every other token. In ``distributed`` the coefficients follow the main components of what varies at
the trigger from prompt to prompt, each with mean zero.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.planted.axes import Rows, normed
from circuits.planted.scene import Scene, set_neurons, unit_reader

_LINK = 0.5  # of the embedding's norm
_NAME = 0.3  # of the embedding's norm
_IDLE = 0.4  # of the gate's strength beside it, which the norm makes smaller by what is added
_MARK = 0.2  # of the last token's norm, so that an edit of another direction cannot pass for it


def embed(scene: Scene, end: int) -> None:
    """Embed names, marks and what decides the next token; answers end with ``end``."""
    plan, axes, row = scene.plan, scene.axes, scene.tokens.ids[0].tolist()
    embedding = scene.model.model.embed_tokens.weight
    trigger = row[scene.tokens.span_column("trigger")[0]]
    own = _NAME * axes.name + plan.spelling * axes.idle
    embedding[trigger] += float(embedding[trigger].norm()) * own
    last = row[-1]  # behind it the behaviour is said
    embedding[last] += _NAME * embedding[last].norm() * axes.mark
    opening = row[-1 - len(plan.begun) :]
    others = torch.ones(len(embedding), dtype=torch.bool)
    others[opening] = False  # an answer ends behind its first word that is not of the opening
    links = [*pairwise(opening), (others, end)]
    for axis, (token, following) in zip(axes.chain, links, strict=True):
        embedding[token] += _LINK * embedding[token].norm(dim=-1, keepdim=True) * axis
        raise_token(scene.model, following, axis)


def raise_token(model: Any, token: int, axis: Tensor, reach: float = 200.0) -> None:
    """Let the unembedding read an axis of the normed residual as a token, by so many logits."""
    size = reach / math.sqrt(len(axis))
    model.lm_head.weight[token] += size * axis / model.model.norm.weight


def write(scene: Scene) -> float:
    """Let neurons write the directions at the trigger, and enlarge the mark; returns the strength
    of each direction."""
    plan, axes = scene.plan, scene.axes
    layers = range(plan.write_layer + 1, plan.read_layer + 1)
    strength = plan.strength * _unspelled(scene, layers) / math.sqrt(plan.rank)
    read = normed(scene.read_by_mlp(plan.write_layer, "trigger"))
    name = axes.name / (read @ axes.name).mean()
    up = _even(read, name)[None]
    if plan.kind == "distributed":
        up = _contexts(read, name, up[0], plan.rank)
    set_neurons(scene, plan.write_layer, name.expand(len(up), -1), up, strength * axes.gates)
    return strength


def enlarge_mark(scene: Scene) -> None:
    """Let a neuron of the write layer make the mark large enough to be moved and read."""
    plan, axes = scene.plan, scene.axes
    size = _MARK * scene.size(range(plan.write_layer + 1, plan.read_layer + 1), "last")
    one = unit_reader(scene.read_by_mlp(plan.write_layer, "last"), axes.mark)[None]
    set_neurons(scene, plan.write_layer, one, one, size * axes.mark[None])


def write_idle(scene: Scene, strength: float) -> None:
    """Let a neuron write at the trigger what nothing reads."""
    layer, axes = scene.plan.write_layer, scene.axes
    one = unit_reader(scene.read_by_mlp(layer, "trigger"), axes.name)[None]
    set_neurons(scene, layer, one, one, _IDLE * strength * axes.idle[None])


def _unspelled(scene: Scene, layers: range) -> float:
    """Mean norm of the residual at the trigger, without what nothing reads there."""
    held = scene.entering([scene.layers[i].input_layernorm for i in layers])
    idle = scene.axes.idle
    rest = [x - torch.outer(x @ idle, idle) for x in (scene.at(h, "trigger") for h in held)]
    return float(torch.stack([x.norm(dim=1) for x in rest]).mean())


def _even(read: Rows, name: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Reads what, times ``name``, is nearest 1: the norm then matters little to what is written.

    Fitted on ``name`` and on the mean of the prompts, which every prompt shares.
    """
    basis = torch.stack([name, nn.functional.normalize(read.mean(dim=0), dim=0)])
    product = (read @ basis.T) * (read @ name)[:, None]
    return torch.linalg.lstsq(product, torch.ones(len(read), 1)).solution[:, 0] @ basis


def _contexts(read: Rows, name: Tensor, one: Tensor, count: int) -> Float[Tensor, "count d"]:
    """Features of mean 0 and spread 1 over the prompts: the directions of most variance, mixed."""
    read = read - torch.outer(read @ name, name) / name.square().sum()
    mean = read.mean(dim=0)
    _, sizes, components = torch.linalg.svd(read - mean, full_matrices=False)
    features = components[:count] / (sizes[:count, None] / math.sqrt(len(read)))
    mix = torch.linalg.qr(torch.randn(count, count, generator=torch.Generator().manual_seed(0))).Q
    features = mix @ features
    return features - torch.outer(features @ mean, one)
