"""What every back-end over a Hugging Face model needs: its inputs, and edits on its activations.

Pure functions of windows and tensors. A back-end adds only where an activation is found and how a
pass is interrupted there.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache

from circuits.backends.cache import CachePast
from circuits.edits.operators import on_columns
from circuits.errors import UserError
from circuits.runner import Shape, Window
from circuits.types import HEAD_STREAMS, Edit, Point


def shape_of(hf_model: Any) -> Shape:
    """The sizes of a Hugging Face model, by its configuration."""
    config, weight = hf_model.config, next(hf_model.parameters())
    heads = config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        d_model=config.hidden_size,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        d_vocab=config.vocab_size,
        context=getattr(config, "max_position_embeddings", None) or sys.maxsize,
        device=str(weight.device),
        dtype=weight.dtype,
    )


def require_evaluation(model: nn.Module) -> None:
    """Refuse a model any part of which is in training mode, where dropout may be random.

    Raises:
        UserError: names the first module that trains.
    """
    waiting = [model]
    while waiting:  # several times faster than modules(), and this runs at every pass
        module = waiting.pop()
        if module.training:
            where = next(name for name, part in model.named_modules() if part is module)
            raise UserError(
                "model: expected evaluation mode, got training mode (dropout on) in "
                f"{where or type(module).__name__}; call .eval()"
            )
        waiting.extend(child for child in module._modules.values() if child is not None)


def gradients(window: Window) -> AbstractContextManager[object]:
    """Gradients during a pass only where the tensors it starts from require them."""
    given = (window.embedded, window.resid, *window.joining.values())
    wanted = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)
    return torch.set_grad_enabled(wanted)


def arguments(window: Window, keep: int, grow: bool, device: str) -> dict[str, Any]:
    """The keyword arguments with which a Hugging Face causal model runs a window.

    Raises:
        UserError: the past is not a :class:`CachePast`, or a resumed pass is to grow it.
    """
    cache = _cache(window, grow)
    mask = window.mask.to(device).long()
    width = window.ids.shape[1]
    read = (
        {"input_ids": window.ids.to(device)}
        if window.embedded is None
        else {"inputs_embeds": window.embedded}
    )
    return read | {
        "attention_mask": mask,
        "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0)[:, window.start :],
        "past_key_values": cache,
        "use_cache": cache is not None,
        # An index keeps the kept states contiguous. A count would slice them, and a sliced product
        # with the unembedding is many times slower.
        "logits_to_keep": torch.arange(max(0, width - keep), width, device=device),
    }


def _cache(window: Window, grow: bool) -> DynamicCache | None:
    past = window.past
    if past is not None and not isinstance(past, CachePast):
        raise UserError(f"past: expected one made by this runner, got {type(past).__name__}")
    if grow and window.layer:
        raise UserError("window: a pass resumed at a layer has no keys and values below it")
    if past is not None:
        return past.growing(len(window.ids)) if grow else past.frozen()
    # An explicit cache, because the model's own may drop columns outside a sliding window.
    return DynamicCache() if grow else None


def grown(cache: DynamicCache | None, grow: bool) -> CachePast | None:
    """The past after a pass that was to grow it."""
    return CachePast.of(cache) if grow and cache is not None else None


def require_layer(point: Point, n_layers: int) -> None:
    """Refuse a point whose layer the model does not have (UserError)."""
    if not 0 <= point.layer < n_layers:
        raise UserError(f"{point}: expected a layer in 0..{n_layers - 1}")


def no_such_stream(point: Point, has: Iterable[str]) -> UserError:
    """The refusal of a stream that the architecture does not have."""
    return UserError(f"{point}: this model has no such stream; it has {', '.join(has)}")


def require_editable(point: Point, n_layers: int) -> None:
    """Refuse a point that cannot be edited (UserError): no such layer, or the middle residual.

    The latter is found on the way into the MLP only; an edit there would miss the skip connection.
    """
    require_layer(point, n_layers)
    if point.stream == "resid_mid":
        raise UserError(f"{point}: cannot be edited directly; edit attn_out by the difference")


def split_heads(
    stream: str, x: Float[Tensor, "batch *rest"], d_head: int
) -> Float[Tensor, "batch pos *shape"]:
    """Every stream as ``[batch, pos, ...]``; per-head streams as ``[batch, pos, head, ...]``.

    Patterns are indexed by their query position; a neuron is a head of one channel.
    """
    if stream == "pattern":
        return x.transpose(1, 2)
    if stream == "neuron":
        return x.unsqueeze(-1)
    if stream in HEAD_STREAMS:
        return x.reshape(*x.shape[:2], -1, d_head)
    return x


def edited(
    edit: Edit, x: Float[Tensor, "batch *rest"], start: int, d_head: int
) -> Float[Tensor, "batch *rest"]:
    """An activation as the model holds it, edited; ``start`` is the window's first column."""
    found = _edit_window(edit, split_heads(edit.point.stream, x, d_head), start)
    if edit.point.stream == "pattern":
        found = found.transpose(1, 2)
    return found.reshape(x.shape)


def _edit_window(
    edit: Edit, x: Float[Tensor, "batch pos *rest"], start: int
) -> Float[Tensor, "batch pos *rest"]:
    if edit.columns is None:
        return edit.apply(x)
    columns = edit.columns[:, start : start + x.shape[1]].to(x.device)
    if columns.shape[1] < x.shape[1]:  # generated columns lie beyond the prompt's
        missing = x.shape[1] - columns.shape[1]
        columns = nn.functional.pad(columns, (0, missing), value=edit.onward)
    return on_columns(edit.apply, x, columns)


def recorded(
    stream: str, x: Float[Tensor, "batch *rest"], d_head: int
) -> Float[Tensor, "batch pos *shape"]:
    """A copy of an activation, to be returned."""
    return split_heads(stream, x, d_head).detach().clone()


def changed_input(
    args: tuple, kwargs: dict[str, Any], change: Callable[[Tensor], Tensor], rows: int | None = None
) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a module with its hidden states changed.

    Where that adds rows (whole blocks of ``rows``, by default of those that enter), what belongs to
    the prompts is repeated.
    """
    named = dict(kwargs)
    before = args[0] if args else named.pop("hidden_states")
    hidden, count = change(before), rows or before.shape[0]
    times = hidden.shape[0] // count
    rest = _repeated(tuple(args[1:]), count, times)
    return (hidden, *rest), {k: _repeated(v, count, times) for k, v in named.items()}


def joined(window: Window, layer: int, hidden: Tensor) -> Tensor:
    """The hidden states entering a layer with the rows that join there below them."""
    extra = window.joining.get(layer)
    return hidden if extra is None else torch.cat([hidden, extra.to(hidden)])


def resumed(resid: Float[Tensor, "batch width d_model"], hidden: Tensor) -> Tensor:
    """The hidden states entering a layer, the first rows being those given."""
    return torch.cat([resid.to(hidden), hidden[resid.shape[0] :]])


def _repeated(value: Any, n: int, times: int) -> Any:
    """Repeat along the batch what belongs to ``n`` rows: masks, position ids, rotary tables."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == n and times > 1:
        return value.repeat(times, *([1] * (value.ndim - 1)))
    if isinstance(value, tuple):
        return tuple(_repeated(item, n, times) for item in value)
    return value
