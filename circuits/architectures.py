"""Where the activations of a Hugging Face architecture live: one small table.

A new architecture is a row that passes the tests of back-ends; one without a row is refused.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect


class Slot(NamedTuple):
    """Where an activation lives in a block.

    Attributes:
        module: path inside the block; "" is the block itself.
        side: the module's first input, its first output, or the weights of its attention.
        part: which of a fused query, key and value it is.
        fused: whether the three follow each other, or do so within every head.
    """

    module: str
    side: Literal["input", "output", "pattern"]
    part: int = 0
    fused: Literal["no", "thirds", "by head"] = "no"


class Row(NamedTuple):
    """An architecture: the list of its blocks, the slots in a block, and why others are missing."""

    path: str
    slots: Mapping[str, Slot]
    lacks: Mapping[str, str] = {}


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
_GLM4 = _LLAMA | {
    "attn_out": Slot("post_self_attn_layernorm", "output"),
    "mlp_out": Slot("post_mlp_layernorm", "output"),
}
_OLMO2 = _GEMMA | {"resid_mid": Slot("mlp", "input")}  # the MLP reads the residual as it is
_APERTUS = _LLAMA | {"resid_mid": Slot("feedforward_layernorm", "input")}
_STARCODER2 = _LLAMA | {"neuron": Slot("mlp.c_proj", "input")}


def _fused(module: str, kind: Literal["thirds", "by head"]) -> dict[str, Slot]:
    """Queries, keys and values that are one tensor."""
    return {stream: Slot(module, "output", part, kind) for part, stream in enumerate("qkv")}


_PHI3 = _LLAMA | _fused("self_attn.qkv_proj", "thirds")
_GPT2 = (
    _LLAMA
    | _fused("attn.c_attn", "thirds")
    | {
        "pattern": Slot("attn", "pattern"),
        "z": Slot("attn.c_proj", "input"),
        "attn_out": Slot("attn", "output"),
        "resid_mid": Slot("ln_2", "input"),
        "neuron": Slot("mlp.c_proj", "input"),
    }
)
_MPT = (
    _LLAMA
    | _fused("attn.Wqkv", "thirds")
    | {
        "pattern": Slot("attn", "pattern"),
        "z": Slot("attn.out_proj", "input"),
        "attn_out": Slot("attn", "output"),
        "resid_mid": Slot("norm_2", "input"),
        "neuron": Slot("ffn.down_proj", "input"),
        "mlp_out": Slot("ffn.down_proj", "output"),  # the MLP's own output holds the residual
    }
)
_BLOOM = (
    _LLAMA
    | _fused("self_attention.query_key_value", "by head")
    | {
        "pattern": Slot("self_attention", "pattern"),
        "z": Slot("self_attention.dense", "input"),
        "attn_out": Slot("self_attention.dense", "output"),  # as the MLP's
        "neuron": Slot("mlp.dense_4h_to_h", "input"),
        "mlp_out": Slot("mlp.dense_4h_to_h", "output"),
    }
)
_GPT_NEOX = (
    _LLAMA
    | _fused("attention.query_key_value", "by head")
    | {
        "pattern": Slot("attention", "pattern"),
        "z": Slot("attention.dense", "input"),
        "attn_out": Slot("attention", "output"),
        "neuron": Slot("mlp.dense_4h_to_h", "input"),
    }
)
_GPT_NEO = _GPT2 | {
    "q": Slot("attn.attention.q_proj", "output"),
    "k": Slot("attn.attention.k_proj", "output"),
    "v": Slot("attn.attention.v_proj", "output"),
    "pattern": Slot("attn.attention", "pattern"),
    "z": Slot("attn.attention.out_proj", "input"),
}
_GPTJ = _GPT2 | {
    "q": Slot("attn.q_proj", "output"),
    "k": Slot("attn.k_proj", "output"),
    "v": Slot("attn.v_proj", "output"),
    "z": Slot("attn.out_proj", "input"),
    "neuron": Slot("mlp.fc_out", "input"),
}
_PHI = _LLAMA | {"z": Slot("self_attn.dense", "input"), "neuron": Slot("mlp.fc2", "input")}
_XGLM = _LLAMA | {
    "z": Slot("self_attn.out_proj", "input"),
    "resid_mid": Slot("final_layer_norm", "input"),
    "neuron": Slot("fc2", "input"),
    "mlp_out": Slot("fc2", "output"),
}
_FALCON = _GPT_NEOX | {
    "attn_out": Slot("self_attention", "output"),
    "z": Slot("self_attention.dense", "input"),
}
_LFM2 = _LLAMA | {
    "resid_mid": Slot("ffn_norm", "input"),
    "neuron": Slot("feed_forward.w2", "input"),
    "mlp_out": Slot("feed_forward", "output"),
}


def _without(slots: Mapping[str, Slot], *streams: str) -> dict[str, Slot]:
    return {stream: slot for stream, slot in slots.items() if stream not in streams}


_HEADS = ("q", "k", "v", "pattern", "z", "attn_out")
_EXPERTS = {"neuron": "every expert has neurons of its own"}
_PARALLEL = {"resid_mid": "attention and MLP read the same residual"}
_SCALED = {
    stream: "it is scaled before it is added to the residual"
    for stream in ("attn_out", "mlp_out", "resid_mid")
}
_UNNAMED = {"pattern": "the weights pass through no function of their own"}
_ONE_AXIS = {"pattern": "rows and heads of the weights are one axis"}
_BY_SIZE = {stream: "how they are fused depends on the model's size" for stream in "qkv"}
_SOME = {stream: "only some layers have attention" for stream in _HEADS}


def _row(path: str, slots: Mapping[str, Slot], *lacks: Mapping[str, str]) -> Row:
    why = {stream: text for each in lacks for stream, text in each.items()}
    return Row(path, _without(slots, *why), why)


_LAYERS, _BLOCKS = "model.layers", "transformer.h"


def _alike(row: Row, *kinds: str) -> dict[str, Row]:
    return dict.fromkeys(kinds, row)


# By model type.
ARCHITECTURES: Mapping[str, Row] = {
    **_alike(_row(_LAYERS, _LLAMA), "llama", "mistral", "qwen2", "qwen3", "arcee", "ernie4_5"),
    **_alike(_row(_LAYERS, _LLAMA), "gemma", "glm", "helium", "hunyuan_v1_dense", "ministral"),
    **_alike(_row(_LAYERS, _LLAMA), "nemotron", "olmo", "seed_oss", "smollm3", "stablelm"),
    **_alike(_row(_LAYERS, _LLAMA, _PARALLEL), "cohere", "cohere2"),
    **_alike(_row(_LAYERS, _LLAMA, _EXPERTS), "mixtral", "olmoe", "qwen2_moe", "qwen3_moe"),
    **_alike(_row(_LAYERS, _LLAMA, _EXPERTS), "glm4_moe", "gpt_oss"),
    **_alike(_row(_LAYERS, _GEMMA), "gemma2", "gemma3_text"),
    **_alike(_row(_LAYERS, _OLMO2), "olmo2", "olmo3", "exaone4"),
    "apertus": _row(_LAYERS, _APERTUS),
    "bloom": _row(_BLOCKS, _BLOOM),
    "falcon": _row(_BLOCKS, _FALCON, _PARALLEL, _UNNAMED, _BY_SIZE),
    "glm4": _row(_LAYERS, _GLM4),
    "gpt2": _row(_BLOCKS, _GPT2),
    "gpt_bigcode": _row(_BLOCKS, _GPT2, _BY_SIZE),
    "gpt_neo": _row(_BLOCKS, _GPT_NEO),
    "gpt_neox": _row("gpt_neox.layers", _GPT_NEOX, _PARALLEL),
    "gptj": _row(_BLOCKS, _GPTJ, _PARALLEL),
    "granite": _row(_LAYERS, _LLAMA, _SCALED),
    "lfm2": _row(_LAYERS, _LFM2, _SOME),
    "mpt": _row("transformer.blocks", _MPT),
    "phi": _row(_LAYERS, _PHI, _PARALLEL),
    "phi3": _row(_LAYERS, _PHI3),
    "starcoder2": _row(_LAYERS, _STARCODER2),
    "xglm": _row(_LAYERS, _XGLM, _ONE_AXIS),
}


def row_of(hf_model: Any) -> Row:
    """Where a model's activations live.

    Raises:
        UserError: an architecture that is not in the table.
    """
    kind = hf_model.config.model_type
    known, advice = ", ".join(ARCHITECTURES), "use --backend transformer_lens"
    expect(kind in ARCHITECTURES, f"one of {known}", kind, advice, "model")
    return ARCHITECTURES[kind]


def blocks_of(hf_model: Any) -> tuple[list[Any], dict[str, Slot]]:
    """The blocks of a model, and the slots that its blocks have as configured.

    Raises:
        UserError: an architecture that is not in the table.
    """
    row = row_of(hf_model)
    there = {stream: slot for stream, slot in row.slots.items() if is_there(slot, hf_model.config)}
    return list(hf_model.get_submodule(row.path)), there


def slots_of(hf_model: Any) -> dict[str, Slot]:
    """The slots that every block of a model has (a norm may be left out, or stand in a few).

    Raises:
        UserError: an architecture that is not in the table.
    """
    blocks, slots = blocks_of(hf_model)
    return {
        stream: slot
        for stream, slot in slots.items()
        if all(submodule(block, slot.module) is not None for block in blocks)
    }


def submodule(block: Any, path: str) -> Any:
    """A module inside a block, or None."""
    for name in path.split(".") if path else ():
        block = getattr(block, name, None)
    return block


def kv_heads(config: Any) -> int:
    """How many heads keys and values have."""
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def part_of(
    x: Float[Tensor, "batch *rest"], slot: Slot, n_heads: int, n_kv: int | None = None
) -> Tensor:
    """The part of a fused activation that is meant; the activation itself, if it is not fused."""
    if slot.fused == "no":
        return x
    return _parts(x, slot, n_heads, n_kv or n_heads)[slot.part].flatten(-3)


def with_part(x: Tensor, part: Tensor, slot: Slot, n_heads: int, n_kv: int | None = None) -> Tensor:
    """``x`` with one of its three parts replaced: a new tensor."""
    if slot.fused == "no":
        return part
    parts = list(_parts(x, slot, n_heads, n_kv or n_heads))
    parts[slot.part] = part.unflatten(-1, parts[slot.part].shape[-3:])
    return torch.cat(parts, dim=-2).flatten(-3)


def _parts(x: Tensor, slot: Slot, n_heads: int, n_kv: int) -> tuple[Tensor, ...]:
    """Queries, keys and values, each ``[..., block, head, d]``: blocks of the three in turn."""
    blocks = n_kv if slot.fused == "by head" else 1
    own, shared = n_heads // blocks, n_kv // blocks
    split = x.unflatten(-1, (blocks, own + 2 * shared, -1))
    return split.split([own, shared, shared], dim=-2)


def is_there(slot: Slot, config: Any) -> bool:
    """Whether the slot exists as configured: patterns are tensors in plain eager attention."""
    eager = config._attn_implementation == "eager"
    return slot.side != "pattern" or (
        eager and not getattr(config, "reorder_and_upcast_attn", False)
    )
