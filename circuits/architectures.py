"""Where the activations of a Hugging Face architecture live: one small table.

A new architecture is a row that passes the tests of back-ends; one without a row is refused.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect


class Slot(NamedTuple):
    """Where an activation lives in a block.

    Attributes:
        module: path inside the block; "" is the block itself.
        side: the module's first input, its first output, or the weights of its attention.
        part: which third of a fused query, key and value it is.
        fused: whether the thirds follow each other, or do so within every head.
    """

    module: str
    side: Literal["input", "output", "pattern"]
    part: int = 0
    fused: Literal["no", "thirds", "by head"] = "no"


# Streams stand in the order in which the model reaches them: a trace must ask in this order.
_LLAMA = {
    "resid_pre": Slot("", "input"),
    "q": Slot("self_attn.q_proj", "output"),
    "k": Slot("self_attn.k_proj", "output"),
    "v": Slot("self_attn.v_proj", "output"),
    "pattern": Slot("self_attn", "pattern"),
    "z": Slot("self_attn.o_proj", "input"),
    "attn_out": Slot("self_attn", "output"),
    "resid_mid": Slot("post_attention_layernorm", "input"),
    "neuron": Slot("mlp.down_proj", "input"),
    "mlp_out": Slot("mlp", "output"),
    "resid_post": Slot("", "output"),
}
# What attention and MLP add is normalised first.
_GEMMA = _LLAMA | {
    "attn_out": Slot("post_attention_layernorm", "output"),
    "resid_mid": Slot("pre_feedforward_layernorm", "input"),
    "mlp_out": Slot("post_feedforward_layernorm", "output"),
}
_GPT2 = _LLAMA | {
    "q": Slot("attn.c_attn", "output", 0, "thirds"),
    "k": Slot("attn.c_attn", "output", 1, "thirds"),
    "v": Slot("attn.c_attn", "output", 2, "thirds"),
    "pattern": Slot("attn", "pattern"),
    "z": Slot("attn.c_proj", "input"),
    "attn_out": Slot("attn", "output"),
    "resid_mid": Slot("ln_2", "input"),
    "neuron": Slot("mlp.c_proj", "input"),
}
_GPT_NEOX = _LLAMA | {
    "q": Slot("attention.query_key_value", "output", 0, "by head"),
    "k": Slot("attention.query_key_value", "output", 1, "by head"),
    "v": Slot("attention.query_key_value", "output", 2, "by head"),
    "pattern": Slot("attention", "pattern"),
    "z": Slot("attention.dense", "input"),
    "attn_out": Slot("attention", "output"),
    "neuron": Slot("mlp.dense_4h_to_h", "input"),
}
del _GPT_NEOX["resid_mid"]  # attention and MLP read the same residual

# Model type -> the list of its blocks, and the slots in a block.
ARCHITECTURES: Mapping[str, tuple[str, Mapping[str, Slot]]] = {
    "llama": ("model.layers", _LLAMA),
    "mistral": ("model.layers", _LLAMA),
    "qwen2": ("model.layers", _LLAMA),
    "qwen3": ("model.layers", _LLAMA),
    "gemma2": ("model.layers", _GEMMA),
    "gemma3_text": ("model.layers", _GEMMA),
    "gpt2": ("transformer.h", _GPT2),
    "gpt_neox": ("gpt_neox.layers", _GPT_NEOX),
}


def blocks_of(hf_model: Any) -> tuple[list[Any], dict[str, Slot]]:
    """The blocks of a model, and the slots that its blocks have as configured.

    Raises:
        UserError: an architecture that is not in the table.
    """
    kind = hf_model.config.model_type
    expect(kind in ARCHITECTURES, f"one of {', '.join(ARCHITECTURES)}", kind, of="model")
    path, slots = ARCHITECTURES[kind]
    there = {stream: slot for stream, slot in slots.items() if is_there(slot, hf_model.config)}
    return list(hf_model.get_submodule(path)), there


def part_of(x: Float[Tensor, "batch *rest"], slot: Slot, n_heads: int) -> Tensor:
    """The third of a fused activation that is meant; the activation itself, if it is not fused."""
    return x if slot.fused == "no" else _thirds(x, slot, n_heads)[slot.part]


def with_part(x: Tensor, part: Tensor, slot: Slot, n_heads: int) -> Tensor:
    """``x`` with one of its thirds replaced: a new tensor."""
    if slot.fused == "no":
        return part
    thirds = list(_thirds(x, slot, n_heads))
    thirds[slot.part] = part
    blocks = _blocks(slot, n_heads)
    return rearrange(thirds, "third ... (block d) -> ... (block third d)", block=blocks)


def _thirds(x: Tensor, slot: Slot, n_heads: int) -> Float[Tensor, "3 batch *rest"]:
    blocks = _blocks(slot, n_heads)
    return rearrange(x, "... (block third d) -> third ... (block d)", block=blocks, third=3)


def _blocks(slot: Slot, n_heads: int) -> int:
    """How many times queries, keys and values follow each other."""
    return n_heads if slot.fused == "by head" else 1


def is_there(slot: Slot, config: Any) -> bool:
    """Whether the slot exists as configured: patterns are tensors in plain eager attention."""
    eager = config._attn_implementation == "eager"
    return slot.side != "pattern" or (
        eager and not getattr(config, "reorder_and_upcast_attn", False)
    )
