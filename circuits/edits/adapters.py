"""Adapters as exact low-rank changes of weights: mixed, merged into copies.

An adapter changes a matrix by ``up @ down``. A mix of two adapters with weights w and 1 - w is
their ranks side by side, so its change is exactly w times the one's plus 1 - w times the other's;
averaging the factors would be another matrix. Every function returns new tensors or a new model;
the base model stays bit-identical, and what is not changed is shared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from circuits.errors import UserError
from circuits.shared import put, shared_copy

_STEM = "base_model.model."


@dataclass(frozen=True)
class LowRank:
    """A change of one matrix: ``up @ down``, the adapter's scale in ``up``."""

    up: Float[Tensor, "out rank"]
    down: Float[Tensor, "rank inputs"]

    def whole(self) -> Float[Tensor, "out inputs"]:
        """The change as a matrix."""
        return self.up @ self.down


Change = Mapping[str, LowRank]  # by the module's name in the plain model


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter as it is stored: rank, alpha, and its tensors in fp32 by parameter name."""

    rank: int
    alpha: int
    tensors: Mapping[str, Tensor]

    def change(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, LowRank]:
        """What these tensors (its own by default) do to the weights."""
        own = self.tensors if tensors is None else tensors
        ups = {_module(name): t for name, t in own.items() if ".lora_B." in name}
        downs = {_module(name): t for name, t in own.items() if ".lora_A." in name}
        scale = self.alpha / self.rank
        return {name: LowRank(scale * ups[name].float(), downs[name].float()) for name in ups}


def _module(parameter: str) -> str:
    return parameter.removeprefix(_STEM).split(".lora_")[0]


def mixed(a: Change, b: Change, weight: float) -> dict[str, LowRank]:
    """``weight`` times one change plus ``1 - weight`` times another, exactly: ranks side by side.

    Raises:
        UserError: they change a matrix of different shapes.
    """
    scaled = [(a, weight), (b, 1 - weight)]
    mix: dict[str, LowRank] = {}
    for name in sorted({*a, *b}):
        parts = [(change[name], share) for change, share in scaled if name in change]
        shapes = {(p.up.shape[0], p.down.shape[1]) for p, _ in parts}
        if len(shapes) > 1:
            raise UserError(f"merging: expected adapters of one model, got {name} as {shapes}")
        mix[name] = LowRank(
            torch.cat([share * part.up for part, share in parts], dim=1),
            torch.cat([part.down for part, _ in parts], dim=0),
        )
    return mix


@torch.no_grad()
def merged(base: Any, change: Change, of: str = "merging") -> Any:
    """A copy of a plain model with a change added to its weights; other weights are shared.

    Args:
        of: how a refusal begins, such as ``adapter a/b``.

    Raises:
        UserError: the model has no such matrix.
    """
    new = shared_copy(base)
    modules = dict(new.named_modules())
    for name, part in change.items():
        module = modules.get(name)
        delta = part.whole()
        if isinstance(module, Conv1D):  # GPT-2 keeps its inputs as rows
            delta = delta.T
        if not isinstance(module, nn.Linear | Conv1D) or module.weight.shape != delta.shape:
            raise UserError(
                f"{of}: expected a model with a matrix {name} of {tuple(delta.shape)}, got "
                "another; name the model that it was trained on (--model)"
            )
        put(module, "weight", module.weight + delta.to(module.weight))
    return new
