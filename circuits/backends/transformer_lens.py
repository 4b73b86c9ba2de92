"""The TransformerLens back-end: the only file that imports ``transformer_lens``.

The bridge puts a hook point on every activation of a Hugging Face model; edits are plain torch
hooks on these points.
"""

import copy
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from circuits.backends import arguments
from circuits.backends.hooks import Change, HookedRunner, Removable
from circuits.runner import Shape
from circuits.types import Point

_HOOKS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "z": "attn.hook_z",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "pattern": "attn.hook_pattern",
    "neuron": "mlp.hook_post",
}


class TLRunner(HookedRunner):
    """A :class:`circuits.runner.Runner` over ``TransformerBridge``."""

    def __init__(self, hf_model: nn.Module, tokenizer: Any, name: str) -> None:
        self.bridge = TransformerBridge.boot_transformers(
            name, hf_model=hf_model, tokenizer=copy.deepcopy(tokenizer)
        )
        self.blocks = list(self.bridge.blocks)
        cfg = self.bridge.cfg
        weight = next(hf_model.parameters())
        self.shape = Shape(
            n_layers=cfg.n_layers,
            n_heads=cfg.n_heads,
            d_model=cfg.d_model,
            d_head=cfg.d_head,
            d_vocab=cfg.d_vocab,
            context=cfg.n_ctx,
            device=str(weight.device),
            dtype=weight.dtype,
        )

    @property
    def hf_model(self) -> Any:
        return self.bridge.original_model

    def attach(self, point: Point, change: Change) -> Removable:
        """See :class:`HookedRunner`."""
        return self.hook_point(point).register_forward_hook(partial(_changed, change))

    def hook_point(self, point: Point) -> nn.Module:
        """The bridge's hook point of an activation.

        Raises:
            UserError: the architecture does not have it, or the layer does not exist.
        """
        arguments.require_layer(point, self.shape.n_layers)
        hook = _HOOKS.get(point.stream)
        found = self.bridge.get_hook_point(f"blocks.{point.layer}.{hook}") if hook else None
        if found is None:
            has = [s for s, h in _HOOKS.items() if self.bridge.get_hook_point(f"blocks.0.{h}")]
            raise arguments.no_such_stream(point, has)
        return found


def _changed(change: Change, _module: nn.Module, _args: tuple, x: Tensor) -> Tensor:
    return change(x)
