"""What every back-end over a Hugging Face model needs: its inputs, and edits on its activations.

Pure functions of windows and tensors. A back-end adds only where an activation is found and how a
pass is interrupted there.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache

from circuits.backends.streams import Streams
from circuits.edits.operators import on_columns
from circuits.errors import UserError, expect
from circuits.past import Past
from circuits.runner import Shape, Window
from circuits.stored import computed_in
from circuits.types import HEAD_STREAMS, Edit, Point

_ATTENDING = {"full_attention", "sliding_attention", "chunked_attention"}


def shape_of(hf_model: Any) -> Shape:
    """The sizes of a Hugging Face model, by its configuration for text."""
    config, weight = hf_model.config.get_text_config(), next(hf_model.parameters())
    heads = config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=heads,
        d_model=config.hidden_size,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        d_vocab=config.vocab_size,
        context=getattr(config, "max_position_embeddings", None) or sys.maxsize,
        device=str(weight.device),
        dtype=computed_in(hf_model),
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


def arguments(
    model: Any, window: Window, edits: Sequence[Edit], keep: int, grow: bool
) -> dict[str, Any]:
    """The keyword arguments with which a Hugging Face causal model runs a window.

    Raises:
        UserError: the model trains, an edit has no place, or a resumed pass is to grow its past.
    """
    require_evaluation(model)
    for edit in edits:
        _require_editable(edit.point, model.config.get_text_config().num_hidden_layers)
    device = model.device
    cache = _cache(model.config.get_text_config(), window, grow)
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


def _cache(config: Any, window: Window, grow: bool) -> DynamicCache | None:
    past = window.past
    expect(isinstance(past, Past | None), "one made by this runner", type(past).__name__, of="past")
    if grow and window.layer and past is None:
        raise UserError("window: a pass resumed at a layer has no keys and values below it")
    if grow or past is not None:
        kinds = set(getattr(config, "layer_types", None) or ()) - _ATTENDING
        expect(
            not kinds,
            "layers that keep keys and values only",
            ", ".join(sorted(kinds)),
            "it can be patched, scored by the next token; it cannot generate here",
            "model",
        )
    if past is not None:
        return past.growing(len(window.ids)) if grow else past.frozen()
    # An explicit cache, because the model's own may drop columns outside a sliding window.
    return DynamicCache() if grow else None


def _require_layer(point: Point, n_layers: int) -> None:
    """Refuse a point whose layer the model does not have (UserError)."""
    if not 0 <= point.layer < n_layers:
        raise UserError(f"{point}: expected a layer in 0..{n_layers - 1}")


def require_point(point: Point, n_layers: int, streams: Streams) -> None:
    """Refuse a point whose layer or stream the model does not have (UserError)."""
    _require_layer(point, n_layers)
    streams.require(point.stream, str(point))


def _require_editable(point: Point, n_layers: int) -> None:
    """Refuse a point that cannot be edited (UserError): no such layer, or the middle residual.

    The latter is found on the way into the MLP only; an edit there would miss the skip connection.
    """
    _require_layer(point, n_layers)
    if point.stream == "resid_mid":
        raise UserError(f"{point}: cannot be edited directly; edit attn_out by the difference")


def split_heads(
    stream: str, x: Float[Tensor, "batch *rest"], d_head: int
) -> Float[Tensor, "batch pos *shape"]:
    """Every stream as ``[batch, pos, ...]``; per-head streams as ``[batch, pos, head, ...]``.

    Patterns are indexed by their query position; a neuron is a head of one channel.
    """
    if stream == "pattern":
        return rearrange(x, "batch head query key -> batch query head key")
    if stream in HEAD_STREAMS:
        size = 1 if stream == "neuron" else d_head
        return rearrange(x.flatten(2), "batch pos (head d) -> batch pos head d", d=size)
    return x


def edited(
    edit: Edit, x: Float[Tensor, "batch *rest"], start: int, d_head: int
) -> Float[Tensor, "batch *rest"]:
    """An activation as the model holds it, edited; ``start`` is the window's first column."""
    split = split_heads(edit.point.stream, x, d_head)
    if edit.columns is None:
        changed = edit.apply(split)
    else:
        columns = edit.columns[:, start : start + split.shape[1]].to(x.device)
        # Generated columns lie beyond the prompt's.
        beyond = (0, split.shape[1] - columns.shape[1])
        columns = nn.functional.pad(columns, beyond, value=edit.onward)
        changed = on_columns(edit.apply, split, columns)
    if edit.point.stream == "pattern":
        return rearrange(changed, "batch query head key -> batch head query key").contiguous()
    return changed.reshape(x.shape)


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
        return repeat(value, "row ... -> (times row) ...", times=times)
    if isinstance(value, tuple):
        return tuple(_repeated(item, n, times) for item in value)
    return value
