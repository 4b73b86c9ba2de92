"""The TransformerLens back-end: the only file that imports ``transformer_lens``.

The bridge puts a hook point on every activation of a Hugging Face model; edits are plain torch
hooks on these points.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import MoEBridge
from transformer_lens.model_bridge.sources.transformers import source

from circuits.backends import arguments
from circuits.backends.hooks import Change, HookedRunner, Removable, leaving
from circuits.backends.streams import Streams
from circuits.errors import reading
from circuits.types import Point

# The bridge would install torchvision to read a multi-modal model's pictures, of which none come.
# A missing name is an error here: the release that moves it must not bring the installation back.
_READER = "load_modality_processor"
assert hasattr(source, _READER)
setattr(source, _READER, lambda *_: None)
_ELSEWHERE = "use --backend plain or nnsight"

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
        with reading(f"model {name}", "an architecture of TransformerLens", _ELSEWHERE):
            self.bridge = TransformerBridge.boot_transformers(
                _place(hf_model, name), hf_model=hf_model, tokenizer=copy.deepcopy(tokenizer)
            )
        self.hf_model, self.shape = hf_model, arguments.shape_of(hf_model)
        self._blocks = list(self.bridge.blocks)
        self.streams = self._streams(name)

    @property
    def blocks(self) -> Sequence[Any]:
        return self._blocks

    def attach(self, point: Point, change: Change) -> Removable:
        """See :class:`HookedRunner`."""
        arguments.require_point(point, self.shape.n_layers, self.streams)
        return _Hook(self._hook(point), change)

    def _hook(self, point: Point) -> Any:
        return self.bridge.get_hook_point(f"blocks.{point.layer}.{_HOOKS[point.stream]}")

    def _layers(self, stream: str) -> list[int]:
        """The layers with a hook for it; experts' neurons have the MLP's output for one."""
        hook = self.bridge.get_hook_point
        outputs = [hook(f"blocks.{i}.mlp.hook_out") for i in range(self.shape.n_layers)]
        hooks = [self._hook(Point(i, stream)) for i in range(self.shape.n_layers)]
        both = enumerate(zip(hooks, outputs, strict=True))
        return [i for i, (at, out) in both if at and (stream != "neuron" or at is not out)]

    def _streams(self, name: str) -> Streams:
        layers = {stream: len(self._layers(stream)) for stream in _HOOKS}
        there = tuple(stream for stream, count in layers.items() if count == self.shape.n_layers)
        some = {
            s: "only some layers have it" for s, n in layers.items() if n > 0 and s not in there
        }
        experts = any(isinstance(part, MoEBridge) for part in self.bridge.modules())
        neurons = {"neuron": "every expert has neurons of its own"} if experts else {}
        return Streams(name, there, some | neurons)


class _Hook:
    """A hook of TransformerLens' own kind: it has every activation by rows, columns and channels,
    and outputs as they are added to the residual, also where the model holds them otherwise."""

    def __init__(self, hook: Any, change: Change) -> None:
        self._hook = hook
        self._handle = hook.add_hook(lambda x, hook: leaving(change, hook, (), x))

    def remove(self) -> None:
        self._handle.hook.remove()
        self._hook.fwd_hooks.remove(self._handle)


def _place(hf_model: Any, name: str) -> str:
    """Where the model was read from: of a name alone the bridge would ask the hub."""
    place = hf_model.config._name_or_path
    return place if place and Path(place).is_dir() else name
