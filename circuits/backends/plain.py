"""A plain Hugging Face model under edits of its activations, from a token position on.

Defences at inference time (a direction projected out, Arditi et al. 2024, arXiv 2406.11717; affine
erasure, Belrose et al. 2023, arXiv 2306.03819; heads and neurons cut off) are edits of what enters
a module. Here they are hooks on the plain model, so that greedy answers, teacher forcing with a
shared opening and training all run under them:

- columns are told apart by their *position*, the count of real tokens before them, which does not
  depend on padding, on a cache, or on what is run once for all rows;
- everything before ``start`` stays: the chat template's opening holds attention sinks, which a
  projection must not touch (ARCHITECTURE.md), and a defence edits from the user's message on;
- nothing is written in place and gradients pass, so that an attacker can train against the edit;
- hooks are gone when the context closes, also after an error: the model is bit-identical.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from circuits.architectures import ARCHITECTURES, Slot
from circuits.backends.prefix import Opened
from circuits.edits.operators import on_columns
from circuits.errors import UserError
from circuits.types import Edit, Point

_ROWS = 32  # run at once


@contextmanager
def defended(model: Any, edits: Sequence[Edit], start: int = 0) -> Iterator[None]:
    """Edit what enters modules of a model, in every column from position ``start`` on.

    Args:
        model: a plain causal language model, or one with an adapter on it.
        edits: applied in order; of streams that enter a module (``resid_pre``, ``resid_mid``,
            ``z``, ``neuron``), without columns of their own.
        start: tokens of each row that are left alone; 0 edits every column.

    Raises:
        UserError: a stream or layer that cannot be edited here, an edit with columns, or a
            negative start.
    """
    if start < 0:
        raise UserError(f"defence: expected a start of 0 tokens or more, got {start}")
    if any(edit.columns is not None for edit in edits):
        raise UserError(
            "defence: expected edits of all columns from the start on, got one with "
            "columns of its own; leave them out"
        )
    plain, places = _plain(model), [_entered(model, edit.point) for edit in edits]
    now = _Positions()
    handles = [plain.register_forward_pre_hook(now.note, with_kwargs=True)] if start else []
    handles += [
        module.register_forward_pre_hook(_Editing(edit, now, start), with_kwargs=True)
        for module, edit in zip(places, edits, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recording(model: Any, points: Sequence[Point]) -> Iterator[dict[Point, Tensor]]:
    """What is at some points in the latest pass, with its gradients, while the context is open.

    Yields a mapping that every pass fills anew. An edit of the same point, made before, is in it.

    Raises:
        UserError: a stream or layer that this architecture does not have as one tensor.
    """
    seen: dict[Point, Tensor] = {}
    handles = []
    try:
        for point in points:
            module, slot = _found(model, point)

            def entering(_module: nn.Module, args: tuple, kwargs: dict, at: Point = point) -> None:
                seen[at] = args[0] if args else kwargs["hidden_states"]

            def leaving(_module: nn.Module, _args: tuple, out: Any, at: Point = point) -> None:
                seen[at] = out if isinstance(out, Tensor) else out[0]

            if slot.side == "input":
                handles.append(module.register_forward_pre_hook(entering, with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(leaving))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def readings(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    unit: Float[Tensor, " d_model"],
    layer: int,
    start: int,
) -> Float[Tensor, " n"]:
    """The largest projection on a unit direction among each prompt's tokens from ``start`` on.

    Read in the residual stream entering ``layer``, in residual units; on the CPU in fp32.

    Raises:
        UserError: no prompts, or one that ends before ``start``.
    """
    if not prompts or min(map(len, prompts)) <= start:
        raise UserError(f"readings: expected prompts of more than {start} tokens")
    point, found = Point(layer), torch.zeros(len(prompts))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    opened = Opened(model, int(tokenizer.pad_token_id or 0), None)
    for first in range(0, len(order), _ROWS):
        chosen = order[first : first + _ROWS]
        batch = opened.batch([prompts[i] for i in chosen])
        with recording(model, [point]) as seen:
            opened.logits(batch, keep=1)
        found[chosen] = largest(seen[point], unit, batch.mask, start).cpu()
    return found


def largest(
    resid: Float[Tensor, "rows pos d"],
    unit: Float[Tensor, " d"],
    mask: Bool[Tensor, "rows pos"],
    start: int,
) -> Float[Tensor, " rows"]:
    """The largest projection among each row's real tokens from its ``start``-th on."""
    real = mask.to(resid.device)
    read = real & (real.long().cumsum(dim=1) > start)
    projected = resid.float() @ unit.to(resid.device, torch.float32)
    return projected.masked_fill(~read, float("-inf")).amax(dim=1)


@dataclass
class _Positions:
    """The positions of the pass that is under way."""

    of: Int[Tensor, "rows pos"] = field(default_factory=lambda: torch.zeros(1, 0, dtype=torch.long))

    def note(self, _model: nn.Module, args: tuple, kwargs: dict) -> None:
        given = kwargs.get("position_ids")
        if given is not None:
            self.of = given
            return
        read = kwargs.get("inputs_embeds")
        if read is None:
            read = args[0] if args else kwargs["input_ids"]
        past = kwargs.get("past_key_values")
        # What the model itself takes: columns, counted on from those in the cache.
        before = 0 if past is None else past.get_seq_length()
        width = read.shape[1]
        self.of = torch.arange(before, before + width, device=read.device)[None]


@dataclass(frozen=True)
class _Editing:
    """A hook that edits what enters a module."""

    edit: Edit
    now: _Positions
    start: int

    def __call__(self, _module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        x = args[0] if args else kwargs["hidden_states"]
        changed = self.edit.apply(x)
        if self.start:
            columns = (self.now.of >= self.start).to(x.device).expand(x.shape[:2])
            changed = on_columns(lambda _: changed, x, columns)
        if args:
            return (changed, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": changed}


def _plain(model: Any) -> Any:
    """The Hugging Face model under an adapter, whose modules the adapter's passes run."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _entered(model: Any, point: Point) -> nn.Module:
    module, slot = _found(model, point)
    if slot.side != "input" or slot.fused != "no":
        raise UserError(
            f"defence: expected a stream that enters a module, such as resid_pre, z or "
            f"neuron, got {point}"
        )
    return module


def _found(model: Any, point: Point) -> tuple[nn.Module, Slot]:
    plain = _plain(model)
    kind = plain.config.model_type
    if kind not in ARCHITECTURES:
        raise UserError(f"defence: expected one of {', '.join(ARCHITECTURES)}, got {kind}")
    path, slots = ARCHITECTURES[kind]
    blocks = plain.get_submodule(path)
    if point.stream not in slots or not 0 <= point.layer < len(blocks):
        raise UserError(
            f"defence: expected a layer below {len(blocks)} and one of {', '.join(slots)}, "
            f"got {point}"
        )
    slot = slots[point.stream]
    if slot.side == "pattern" or slot.fused != "no":
        raise UserError(f"defence: {point} is not one tensor that a module reads or writes")
    return blocks[point.layer].get_submodule(slot.module), slot
