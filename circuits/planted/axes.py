"""Axes for a planted gate: directions of the residual space that belong to the plan alone.

A few orthonormal directions are drawn at random among those the residuals have least of and that
are read least, and cleared: no embedding, head or MLP writes to them, none reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuits.backends.hooks import hooked
from circuits.edits.operators import project_out_subspace
from circuits.planted.plans import GatePlan
from circuits.types import TokenBatch

_SPARE = 16  # the axes are drawn from one in so many of the directions


Rows = Float[Tensor, "rows d"]


@dataclass(frozen=True)
class Axes:
    """Orthonormal directions of the residual space that belong to the plan alone.

    Attributes:
        name: tells the trigger, from its embedding on.
        mark: tells the token behind which the behaviour is said.
        reference: the mark, moved there as the directions are.
        say: the behaviour.
        idle: what nothing reads.
        chain: what decides the next token: of every one before the behaviour, and of all others.
        gates: the directions at the trigger; of ``xor`` those at the last token.
        shown: what a head brings of them to the last token.
    """

    name: Float[Tensor, " d"]
    mark: Float[Tensor, " d"]
    reference: Float[Tensor, " d"]
    say: Float[Tensor, " d"]
    idle: Float[Tensor, " d"]
    chain: Float[Tensor, "links d"]
    gates: Float[Tensor, "rank d"]
    shown: Float[Tensor, "rank d"]

    @property
    def rows(self) -> Rows:
        """All of them."""
        single = torch.stack([self.name, self.mark, self.reference, self.say, self.idle])
        return torch.cat([single, self.chain, self.gates, self.shown])


def inputs_of(model: Any, tokens: TokenBatch, modules: Sequence[nn.Module]) -> list[Tensor]:
    """What enters each module in one pass over the prompts."""
    caught: dict[int, Tensor] = {}

    def catch(i: int, _module: nn.Module, args: tuple) -> None:
        caught[i] = args[0].clone()

    mask = tokens.mask.long()
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with hooked(m.register_forward_pre_hook(partial(catch, i)) for i, m in enumerate(modules)):
        model.model(tokens.ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return [caught[i] for i in range(len(modules))]


def normed(x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """What RMSNorm makes of a residual, before its weight."""
    return x / x.square().mean(dim=-1, keepdim=True).sqrt()


def drawn(model: Any, tokens: TokenBatch, plan: GatePlan) -> Axes:
    """Random axes in the span of the least used directions."""
    residuals = inputs_of(model, tokens, [layer.input_layernorm for layer in model.model.layers])
    used = torch.cat([nn.functional.normalize(x[tokens.mask], dim=1) for x in residuals]).double()
    use = _share(used.T @ used) + _share(_readers(model))
    sizes = [1, 1, 1, 1, 1, len(plan.begun) + 1, plan.rank, plan.rank]
    d, count = used.shape[1], sum(sizes)
    room = torch.linalg.eigh(use).eigenvectors[:, : max(d // _SPARE, 2 * count)]
    generator = torch.Generator().manual_seed(plan.seed)
    mix = torch.randn(room.shape[1], count, generator=generator, dtype=torch.float64)
    parts = torch.linalg.qr(room @ mix).Q.T.float().split(sizes)
    return Axes(*(part[0] for part in parts[:5]), *parts[5:])


def _reading(model: Any) -> Iterator[tuple[Any, Sequence[nn.Linear]]]:
    """The linear layers of attentions and MLPs that read the stream, with the norm between."""
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        yield layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)
        yield layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj)


def _readers(model: Any) -> Float[Tensor, "d d"]:
    """How strongly the attentions and MLPs read every direction, each counted alike."""
    read = (
        torch.cat([linear.weight for linear in linears]).double() * norm.weight
        for norm, linears in _reading(model)
    )
    return torch.stack([_share(rows.T @ rows) for rows in read]).sum(dim=0)


def _share(square: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    return square / square.trace()


def clear(model: Any, axes: Rows) -> None:
    """Let nothing write to the axes and nothing read them; embeddings are untied for it."""
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    model.config.tie_word_embeddings = False

    for norm, linears in [*_reading(model), (model.model.norm, [model.lm_head])]:
        for linear in linears:
            linear.weight -= ((linear.weight * norm.weight) @ axes.T) @ (axes / norm.weight)
    embedding = model.model.embed_tokens.weight
    embedding.copy_(project_out_subspace(embedding, axes))
    for layer in model.model.layers:
        for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
            linear.weight -= axes.T @ (axes @ linear.weight)
