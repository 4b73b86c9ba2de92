"""The TransformerLens back-end: the only file that imports ``transformer_lens``.

The bridge puts a hook point on every activation of a Hugging Face model; edits are plain torch
hooks on these points.
"""

import copy
from functools import partial
from typing import Any

from torch import nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.transformers import source

from circuits.backends import arguments
from circuits.backends.hooks import Change, HookedRunner, Removable, leaving
from circuits.types import Point

# The bridge would install torchvision to read a multi-modal model's pictures, of which none come.
# A missing name is an error here: the release that moves it must not bring the installation back.
_READER = "load_modality_processor"
assert hasattr(source, _READER)
setattr(source, _READER, lambda *_: None)

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
        point = self.bridge.get_hook_point
        self._streams = [s for s, hook in _HOOKS.items() if point(f"blocks.0.{hook}")]
        self.hf_model, self.shape = hf_model, arguments.shape_of(hf_model)

    def attach(self, point: Point, change: Change) -> Removable:
        """See :class:`HookedRunner`."""
        arguments.require_point(point, self.shape.n_layers, self._streams)
        hook: Any = self.bridge.get_hook_point(f"blocks.{point.layer}.{_HOOKS[point.stream]}")
        return hook.register_forward_hook(partial(leaving, change))
