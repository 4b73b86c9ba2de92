"""The TransformerLens back-end: the only file that imports ``transformer_lens``.

The bridge puts a hook point on every activation of a Hugging Face model. The forward pass is the
Hugging Face model's own, so caches, masks and position ids behave as they do there; edits are
plain torch hooks on the bridge's hook points. Resuming at a layer makes the blocks below it the
identity for one call and hands the residuals to the block.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from circuits.backends import arguments
from circuits.runner import Output, Shape, Window
from circuits.types import Edit, Point

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


class TLRunner:
    """A :class:`circuits.runner.Runner` over ``TransformerBridge``.

    Logits carry gradients where the residuals that a pass starts from require them.
    """

    def __init__(self, hf_model: nn.Module, tokenizer: Any, name: str) -> None:
        self.bridge = TransformerBridge.boot_transformers(
            name, hf_model=hf_model, tokenizer=copy.deepcopy(tokenizer)
        )
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

    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        arguments.require_evaluation(self.hf_model)
        call = arguments.arguments(window, keep, grow, self.shape.device)
        acts: dict[Point, Tensor] = {}
        with ExitStack() as stack:
            stack.enter_context(arguments.gradients(window))
            if window.joining:
                stack.enter_context(self._joined(window))
            if window.resid is not None:
                stack.enter_context(self._resumed(window.layer, window.resid))
            for edit in edits:
                arguments.require_editable(edit.point, self.shape.n_layers)
                if edit.point.layer >= window.layer:
                    stack.enter_context(self._edited(edit, window.start))
            for point in record:
                stack.enter_context(self._recorded(point, acts))
            out = self.hf_model(**call)
        return Output(out.logits, acts, arguments.grown(call["past_key_values"], grow))

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

    @contextmanager
    def _edited(self, edit: Edit, start: int) -> Iterator[None]:
        def hook(_module: nn.Module, _args: Any, x: Tensor) -> Tensor:
            return arguments.edited(edit, x, start, self.shape.d_head)

        handle = self.hook_point(edit.point).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _recorded(self, point: Point, acts: dict[Point, Tensor]) -> Iterator[None]:
        def hook(_module: nn.Module, _args: Any, x: Tensor) -> None:
            acts[point] = arguments.recorded(point.stream, x, self.shape.d_head)

        handle = self.hook_point(point).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _joined(self, window: Window) -> Iterator[None]:
        """Let rows join the batch at layers; what belongs to the prompts is repeated for them."""
        n = window.ids.shape[0]

        def hook_at(layer: int) -> Callable[..., tuple[tuple, dict]]:
            def hook(_block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
                return arguments.changed_input(
                    args, kwargs, partial(arguments.joined, window, layer), n
                )

            return hook

        handles = [
            self.bridge.blocks[layer].register_forward_pre_hook(hook_at(layer), with_kwargs=True)
            for layer in range(min(window.joining), self.shape.n_layers)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _resumed(self, layer: int, resid: Float[Tensor, "batch width d_model"]) -> Iterator[None]:
        """Skip the blocks below ``layer`` and let it start from ``resid``."""
        skipped = [self.bridge.blocks[i] for i in range(layer)]
        for block in skipped:
            block.__dict__["forward"] = _identity
        entry = self.hook_point(Point(layer, "resid_pre"))

        def hook(_module: nn.Module, _args: Any, x: Tensor) -> Tensor:
            return arguments.resumed(resid, x)

        # Registered first, so that edits at this very point see the resumed residuals.
        handle = entry.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
            for block in skipped:
                del block.__dict__["forward"]


def _identity(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states
