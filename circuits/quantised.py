"""Linear layers whose matrices are held in 8 or 4 bits, by packages of the extra ``quantised``.

A model is loaded and its adapter merged first, then its layers are packed one after the other: what
is held is the merged model, rounded. So the change of an adapter can no longer be taken out of it
exactly, and whatever would need that refuses quantised layers by name (``require_plain``).
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from circuits.errors import UserError, expect

BITS: Mapping[str, int] = {"int8": 8, "nf4": 4}
_PACKAGES = {"int8": "torchao", "nf4": "bitsandbytes"}


def require_load(load: str) -> None:
    """Refuse a way of loading that is none, or whose package is not there.

    Args:
        load: int8, nf4, or "" for weights as they are.

    Raises:
        UserError: says what to install.
    """
    expect(load in ("", *BITS), f"one of {', '.join(BITS)}", repr(load), of="--load")
    if load and find_spec(_PACKAGES[load]) is None:
        raise UserError(
            f"--load {load}: expected the package {_PACKAGES[load]}, which is not installed; "
            "pip install 'gatescope[quantised]'"
        )


@torch.no_grad()
def quantise(model: Any, load: str) -> None:
    """Hold the matrices of a model's linear layers in few bits, but for that of its logits.

    Raises:
        UserError: it has no such layers, or the package is not there.
    """
    require_load(load)
    head = model.get_output_embeddings()
    plain = {m for m in model.modules() if type(m) is nn.Linear and m is not head}
    kind = type(model).__name__
    expect(plain, "linear layers to pack", "none", "leave --load out", f"--load {load}: {kind}")
    _PACK[load](model, plain)


def _int8(model: Any, layers: set[Any]) -> None:
    """One scale for each row; activations stay as they are."""
    ao = import_module("torchao.quantization")
    ao.quantize_(model, ao.Int8WeightOnlyConfig(), filter_fn=lambda m, _name: m in layers)


def _nf4(model: Any, layers: set[Any]) -> None:
    """NormalFloat in blocks of 64 (Dettmers et al. 2023, arXiv 2305.14314)."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if child in layers:
                setattr(module, name, _four_bits(child))
                layers.discard(child)  # so that its matrix can go


def _four_bits(layer: nn.Linear) -> nn.Module:
    bnb = import_module("bitsandbytes.nn")
    sizes, old = (layer.in_features, layer.out_features, layer.bias is not None), layer.weight
    new = bnb.Linear4bit(*sizes, compute_dtype=old.dtype, quant_type="nf4", device="meta")
    packed = bnb.Params4bit(old.detach().contiguous(), requires_grad=False, quant_type="nf4")
    new.weight, new.bias = packed.to(old.device), layer.bias
    return new.eval()


_PACK: Mapping[str, Callable[[Any, set[Any]], None]] = {"int8": _int8, "nf4": _nf4}


def packed_layers(model: Any) -> list[str]:
    """The names of a model's quantised layers."""
    plain = (nn.Parameter, torch.Tensor)
    named = model.named_parameters()
    return [name.removesuffix(".weight") for name, p in named if type(p) not in plain]


def require_plain(model: Any, of: str) -> None:
    """Refuse a model with quantised layers, whose weights cannot be exchanged exactly.

    Raises:
        UserError: names the first of them.
    """
    packed = packed_layers(model)
    expect(
        not packed,
        "weights as they are, which can be exchanged exactly",
        f"{len(packed)} quantised layers ({', '.join(packed[:1])}, ...)",
        "leave --load out",
        of,
    )
