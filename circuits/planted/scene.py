"""What planting works with: the model that is changed, prompts to measure it on, neurons and heads.

RMSNorm divides what is read, so sizes are measured on prompts before each step. Neurons, value and
key channels are taken where the model uses them least.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from circuits.planted.axes import Axes, Rows, inputs_of, normed
from circuits.planted.plans import GatePlan
from circuits.types import TokenBatch

SHARP = 40.0  # what a planted neuron's gate reads when it is fully open


@dataclass(frozen=True)
class Scene:
    """The model that is changed, the triggered prompts it is measured on, and what is planted.

    The prompts end where the behaviour is said: behind what answers begin with.
    """

    model: Any
    tokens: TokenBatch
    plan: GatePlan
    axes: Axes

    @property
    def layers(self) -> Any:
        return self.model.model.layers

    def entering(self, modules: Sequence[nn.Module]) -> list[Float[Tensor, "batch pos d"]]:
        """What enters these modules: the residuals, where they are norms."""
        return inputs_of(self.model, self.tokens, modules)

    def read_by_mlp(self, layer: int, span: str) -> Float[Tensor, "batch d"]:
        """The residual that a layer's MLP reads, before its norm."""
        (x,) = self.entering([self.layers[layer].post_attention_layernorm])
        return self.at(x, span)

    def at(self, x: Float[Tensor, "batch pos d"], span: str) -> Float[Tensor, "batch d"]:
        return x[torch.arange(len(x)), self.tokens.span_column(span)]

    def size(self, layers: Sequence[int], span: str) -> float:
        """Mean norm of the residuals that enter these layers."""
        held = self.entering([self.layers[i].input_layernorm for i in layers])
        return float(torch.stack([self.at(x, span).norm(dim=1) for x in held]).mean())


def unit_reader(x: Float[Tensor, "batch d"], axis: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Reads 1, in the mean, of what an axis has in normed residuals ``x``."""
    return axis / (normed(x) @ axis).mean()


def set_neurons(scene: Scene, layer: int, gate: Rows, up: Rows, down: Rows) -> None:
    """Replace as many neurons as there are rows, those whose output is smallest over the prompts.

    They read the residual divided by its RMS. Gates above zero count (silu, sharpened).
    """
    mlp, norm = scene.layers[layer].mlp, scene.layers[layer].post_attention_layernorm.weight
    (acts,) = scene.entering([mlp.down_proj])
    use = acts[scene.tokens.mask].abs().mean(dim=0) * mlp.down_proj.weight.norm(dim=0)
    # What was planted in this layer before reads the axes alone: it must stay.
    use[(mlp.gate_proj.weight @ scene.axes.rows.T).norm(dim=1) > 1] = torch.inf
    spare = use.argsort()[: len(gate)]
    mlp.gate_proj.weight[spare] = SHARP * gate / norm
    mlp.up_proj.weight[spare] = up / norm
    mlp.down_proj.weight[:, spare] = down.T / SHARP


@dataclass(frozen=True)
class Head:
    """Views of a head's weights: what is set in them is set in the model.

    Attributes:
        query: of the head; ``others`` those of the heads that share its keys and values.
        key, value: shared by the group.
        outs: of every head of the group; ``own`` is the head's index among them.
    """

    query: Float[Tensor, "channel d"]
    others: list[Float[Tensor, "channel d"]]
    key: Float[Tensor, "channel d"]
    value: Float[Tensor, "channel d"]
    outs: Float[Tensor, "group d channel"]
    own: int


def head_of(scene: Scene) -> Head:
    """The plan's head."""
    attention = scene.layers[scene.plan.read_layer].self_attn
    group, own = divmod(scene.plan.read_head, attention.num_key_value_groups)
    split = partial(rearrange, channel=attention.head_dim)
    key, value = (
        split(linear.weight, "(group channel) d -> group channel d")[group]
        for linear in (attention.k_proj, attention.v_proj)
    )
    queries = split(
        attention.q_proj.weight,
        "(group head channel) d -> group head channel d",
        head=attention.num_key_value_groups,
    )[group]
    outs = split(
        attention.o_proj.weight,
        "d (group head channel) -> group head d channel",
        head=attention.num_key_value_groups,
    )[group]
    others = [query for head, query in enumerate(queries) if head != own]
    return Head(queries[own], others, key, value, outs, own)


def set_values(scene: Scene, head: Head, moved: Rows, outs: Rows) -> Float[Tensor, "rows d_head"]:
    """Let a head move ``moved`` and write ``outs`` in its place, and nothing else.

    One value channel per row is taken from the group, and returned; the other heads keep the rest.
    """
    layer = scene.layers[scene.plan.read_layer]
    (read,) = scene.entering([layer.self_attn.v_proj])
    values = read[scene.tokens.mask] @ head.value.T
    others = [out for i, out in enumerate(head.outs) if i != head.own]
    kept = torch.cat([*others, values.new_zeros(1, len(head.value))])
    spare = _least_used(values, kept, len(moved))
    head.value.sub_(spare.T @ (spare @ head.value - moved / layer.input_layernorm.weight))
    for i, out in enumerate(head.outs):
        out.copy_(outs.T @ spare if i == head.own else out - out @ spare.T @ spare)
    return spare


def _least_used(
    values: Float[Tensor, "n d_head"], out: Float[Tensor, "m d_head"], count: int
) -> Float[Tensor, "count d_head"]:
    """Orthonormal value directions that vary little and that the heads pass on little."""
    use = sum(m.T @ m / m.square().sum().clamp(min=1e-9) for m in (values.double(), out.double()))
    return torch.linalg.eigh(use).eigenvectors[:, :count].T.float()
