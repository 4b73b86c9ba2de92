"""Weights stored in bf16 and multiplied in fp32, where the processor does not multiply bf16 itself.

Such a processor takes 4 to 8 times as long for a product in bf16 as in fp32 (24 to 400 rows). Here
each matrix becomes fp32 when it is used, one at a time, which costs 4% of a pass of 400 tokens; the
model then computes, bit for bit, what the same weights loaded in fp32 compute.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


def multiplies(dtype: torch.dtype, device: str) -> bool:
    """Whether a device multiplies this precision itself; of accelerators that is taken for true,
    and so it is of fp16, whose range an fp32 product would hide."""
    if dtype != torch.bfloat16 or torch.device(device).type != "cpu":
        return True
    has = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot say
    return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


class _Stored:
    """Whoever reads the weight of such a module is given it in fp32: its own pass, a back-end's."""

    _parameters: dict[str, nn.Parameter | None]

    @property
    def weight(self) -> Tensor:
        parameter = self._parameters["weight"]
        assert parameter is not None
        return parameter.float()


class _Linear(_Stored, nn.Linear):  # pyright: ignore[reportIncompatibleVariableOverride]
    pass


class _Rows(_Stored, Conv1D):
    """A linear layer of GPT-2, whose inputs are rows."""


_KINDS = {nn.Linear: _Linear, Conv1D: _Rows}


@torch.no_grad()
def widen(model: Any) -> Any:
    """Let a model of half precision compute in fp32; its linear layers' matrices stay as they are
    stored, and nothing may be added to them in place any more.

    All else becomes fp32: embeddings, the matrix of the logits (as large as both precisions of it
    would be while it is used), norms, biases, experts that are stored together. Returns the model.
    """
    head, stored, others = model.get_output_embeddings(), set(), set()
    for module in model.modules():
        plain = type(module) in _KINDS and module is not head
        for name, parameter in module._parameters.items():
            (stored if plain and name == "weight" else others).add(id(parameter))
        if plain:
            module.__class__ = _KINDS[type(module)]
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and (id(tensor) in others or id(tensor) not in stored):
            tensor.data = tensor.data.float()
    return model


def is_widened(model: nn.Module) -> bool:
    """Whether a model computes in another precision than its matrices are stored in."""
    return any(isinstance(module, _Stored) for module in model.modules())


def computed_in(model: nn.Module) -> torch.dtype:
    """The precision of a model's activations."""
    return torch.float32 if is_widened(model) else next(model.parameters()).dtype
