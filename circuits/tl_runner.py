"""The TransformerLens back-end: the only file that imports ``transformer_lens``.

The bridge puts a hook point on every activation of a Hugging Face model. The forward pass is the
Hugging Face model's own, so caches, masks and position ids behave as they do there; edits are
plain torch hooks on the bridge's hook points. Resuming at a layer makes the blocks below it the
identity for one call and hands the residuals to the block.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import DynamicCache

from circuits.edits import on_columns
from circuits.errors import UserError
from circuits.kv import CachePast
from circuits.runner import Output, Shape, Window
from circuits.types import HEAD_STREAMS, Edit, Point

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
    """A :class:`circuits.runner.Runner` over ``TransformerBridge``."""

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

    @torch.no_grad()
    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        past = window.past
        if past is not None and not isinstance(past, CachePast):
            raise UserError(f"past: expected one made by this runner, got {type(past).__name__}")
        # An explicit cache, because the model's own may drop columns outside a sliding window.
        cache = DynamicCache() if grow else None
        if past is not None:
            cache = past.growing() if grow else past.frozen()
        if grow and window.layer:
            raise UserError("window: a pass resumed at a layer has no keys and values below it")
        acts: dict[Point, Tensor] = {}
        with ExitStack() as stack:
            if window.joining:
                stack.enter_context(self._joined(window))
            if window.resid is not None:
                stack.enter_context(self._resumed(window.layer, window.resid))
            for edit in edits:
                self._check_editable(edit.point)
                if edit.point.layer >= window.layer:
                    stack.enter_context(self._edited(edit, window.start))
            for point in record:
                stack.enter_context(self._recorded(point, acts))
            out = self.hf_model(
                **self._inputs(window),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=self._kept(window, keep),
            )
        grown = CachePast.of(cache) if grow and cache is not None else None
        return Output(out.logits, acts, grown)

    def _inputs(self, window: Window) -> dict[str, Tensor]:
        device = self.shape.device
        mask = window.mask.to(device).long()
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, window.start :]
        return {
            "input_ids": window.ids.to(device),
            "attention_mask": mask,
            "position_ids": positions,
        }

    def _kept(self, window: Window, keep: int) -> Tensor:
        """The kept columns as an index, which keeps the states contiguous.

        A count would slice them, and a sliced product with the unembedding is many times slower.
        """
        width = window.ids.shape[1]
        return torch.arange(max(0, width - keep), width, device=self.shape.device)

    def hook_point(self, point: Point) -> nn.Module:
        """The bridge's hook point of an activation.

        Raises:
            UserError: the architecture does not have it, or the layer does not exist.
        """
        if not 0 <= point.layer < self.shape.n_layers:
            raise UserError(f"{point}: expected a layer in 0..{self.shape.n_layers - 1}")
        hook = _HOOKS.get(point.stream)
        found = self.bridge.get_hook_point(f"blocks.{point.layer}.{hook}") if hook else None
        if found is None:
            has = [s for s, h in _HOOKS.items() if self.bridge.get_hook_point(f"blocks.0.{h}")]
            raise UserError(f"{point}: this model has no such stream; it has {', '.join(has)}")
        return found

    def _check_editable(self, point: Point) -> None:
        # This hook point lies on the way into the MLP only: an edit would miss the skip connection.
        if point.stream == "resid_mid":
            raise UserError(f"{point}: cannot be edited directly; edit attn_out by the difference")

    @contextmanager
    def _edited(self, edit: Edit, start: int) -> Iterator[None]:
        def hook(_module: nn.Module, _args: Any, x: Tensor) -> Tensor:
            edited = self._edit_window(edit, self._split_heads(edit.point, x), start)
            if edit.point.stream == "pattern":
                edited = edited.transpose(1, 2)
            return edited.reshape(x.shape)

        handle = self.hook_point(edit.point).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def _edit_window(self, edit: Edit, x: Tensor, start: int) -> Tensor:
        if edit.columns is None:
            return edit.apply(x)
        columns = edit.columns[:, start : start + x.shape[1]].to(x.device)
        if columns.shape[1] < x.shape[1]:  # generated columns lie beyond the prompt's
            missing = x.shape[1] - columns.shape[1]
            columns = torch.nn.functional.pad(columns, (0, missing), value=edit.onward)
        return on_columns(edit.apply, x, columns)

    @contextmanager
    def _recorded(self, point: Point, acts: dict[Point, Tensor]) -> Iterator[None]:
        def hook(_module: nn.Module, _args: Any, x: Tensor) -> None:
            acts[point] = self._split_heads(point, x).detach().clone()

        handle = self.hook_point(point).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    def _split_heads(self, point: Point, x: Tensor) -> Tensor:
        """Every stream as ``[batch, pos, ...]``; per-head streams as ``[batch, pos, head, ...]``.

        Patterns are indexed by their query position; a neuron is a head of one channel.
        """
        if point.stream == "pattern":
            return x.transpose(1, 2)
        if point.stream == "neuron":
            return x.unsqueeze(-1)
        if point.stream in HEAD_STREAMS:
            return x.reshape(*x.shape[:2], -1, self.shape.d_head)
        return x

    @contextmanager
    def _joined(self, window: Window) -> Iterator[None]:
        """Let rows join the batch at layers; what belongs to the prompts is repeated for them."""
        n = window.ids.shape[0]

        def hook_at(layer: int) -> Callable[..., tuple[tuple, dict]]:
            def hook(_block: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
                named = dict(kwargs)
                hidden = args[0] if args else named.pop("hidden_states")
                extra = window.joining.get(layer)
                if extra is not None:
                    hidden = torch.cat([hidden, extra.to(hidden)])
                times = hidden.shape[0] // n
                rest = _repeated(tuple(args[1:]), n, times)
                return (hidden, *rest), {k: _repeated(v, n, times) for k, v in named.items()}

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
        # Registered first, so that edits at this very point see the resumed residuals.
        handle = entry.register_forward_hook(
            lambda _m, _a, x: torch.cat([resid.to(x), x[resid.shape[0] :]])
        )
        try:
            yield
        finally:
            handle.remove()
            for block in skipped:
                del block.__dict__["forward"]


def _repeated(value: Any, n: int, times: int) -> Any:
    """Repeat along the batch what belongs to ``n`` rows: masks, position ids, rotary tables."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == n and times > 1:
        return value.repeat(times, *([1] * (value.ndim - 1)))
    if isinstance(value, tuple):
        return tuple(_repeated(item, n, times) for item in value)
    return value


def _identity(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states
