"""The plain back-end: torch hooks on a Hugging Face model's own modules, and nothing in between.

It costs nothing to make, so that whoever holds a model in memory has a runner of it. Where an
activation is found is one table (``circuits.architectures``). Attention weights belong to no
module: eager attention passes them through dropout last, and the first dropout inside an attention
module is theirs.

``defended`` and ``recording`` put the same hooks around what is no pass of a runner, as training:

- edits start at a token *position*, the count of real tokens before it, which does not depend on
  padding, on a cache, or on what is run once for all rows. Everything before stays: the chat
  template's opening holds attention sinks, which a projection must not touch (ARCHITECTURE.md);
- nothing is written in place and gradients pass, so that an attacker can train against an edit;
- hooks are gone when the context closes, also after an error: the model is bit-identical.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from circuits.architectures import (
    blocks_of,
    kv_heads,
    part_of,
    row_of,
    slots_of,
    submodule,
    with_part,
)
from circuits.backends import arguments
from circuits.backends.hooks import Change, HookedRunner, Removable, entering, hooked, leaving
from circuits.backends.streams import Streams
from circuits.errors import expect
from circuits.types import Edit, Point


class PlainRunner(HookedRunner):
    """A :class:`circuits.runner.Runner` over a plain model, or one with an adapter on it.

    A model of an unknown architecture runs, but has no activations to edit or record.
    """

    def __init__(self, hf_model: nn.Module, tokenizer: Any = None, name: str = "in memory") -> None:
        self.hf_model, self.shape = hf_model, arguments.shape_of(hf_model)
        self._name = name

    @cached_property
    def streams(self) -> Streams:
        """Looked for when asked: who only runs the model needs none."""
        model = _unadapted(self.hf_model)
        return Streams(self._name, tuple(slots_of(model)), row_of(model).lacks)

    @property
    def blocks(self) -> Sequence[Any]:
        return blocks_of(_unadapted(self.hf_model))[0]

    def attach(self, point: Point, change: Change) -> Removable:
        """See :class:`HookedRunner`."""
        arguments.require_point(point, self.shape.n_layers, self.streams)
        return attach(self.hf_model, point, change)


def attach(hf_model: Any, point: Point, change: Change) -> Removable:
    """Let an activation of a model become what ``change`` makes of it.

    Raises:
        UserError: an unknown architecture, or a stream or layer that it does not have.
    """
    model = _unadapted(hf_model)
    (blocks, slots), config = blocks_of(model), model.config.get_text_config()
    there = Streams("in memory", tuple(slots), row_of(model).lacks)
    arguments.require_point(point, len(blocks), there)
    slot, counts = slots[point.stream], (config.num_attention_heads, kv_heads(config))
    module = submodule(blocks[point.layer], slot.module)
    expect(module is not None, f"a layer with {slot.module}", "another one", of=str(point))

    def changed(x: Tensor) -> Tensor:
        return with_part(x, change(part_of(x, slot, *counts)), slot, *counts)

    if slot.side == "pattern":
        return _Weights(module, changed)
    if slot.side == "input":
        return module.register_forward_pre_hook(partial(entering, changed, None), with_kwargs=True)
    return module.register_forward_hook(partial(leaving, changed))


class _Weights(TorchFunctionMode):
    """Changes the weights of one attention; in force from its making until it is removed."""

    def __init__(self, attention: nn.Module, change: Change) -> None:
        super().__init__()
        self._change, self._due = change, False
        self._handles = (
            attention.register_forward_pre_hook(lambda *_: self._wait(True)),
            attention.register_forward_hook(lambda *_: self._wait(False)),
        )
        self.__enter__()

    def _wait(self, due: bool) -> None:
        """For the first dropout inside; one after the attention is of something else."""
        self._due = due

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self._due or func is not nn.functional.dropout:
            return out
        self._due = False
        return self._change(out)

    def remove(self) -> None:
        """End it; what was begun later must have ended."""
        for handle in self._handles:
            handle.remove()
        self.__exit__(None, None, None)


@contextmanager
def defended(model: Any, edits: Sequence[Edit], start: int = 0) -> Iterator[None]:
    """Edit a model's activations in every column from position ``start`` on.

    Args:
        model: a plain causal language model, or one with an adapter on it.
        edits: applied in order; without columns of their own.
        start: tokens of each row that are left alone; 0 edits every column.

    Raises:
        UserError: a stream or layer that is not there, an edit with columns, or a negative start.
    """
    expect(start >= 0, "a start of 0 tokens or more", start, of="defence")
    expect(
        all(edit.columns is None for edit in edits),
        "edits of all columns from the start on",
        "one with columns of its own",
        "leave them out",
        of="defence",
    )
    now, d_head = _Positions(), arguments.shape_of(model).d_head

    def change(edit: Edit, x: Tensor) -> Tensor:
        columns = (now.of >= start).expand(len(x), -1) if start else None
        return arguments.edited(edit.on(columns), x, 0, d_head)

    def handles() -> Iterator[Removable]:
        yield _unadapted(model).register_forward_pre_hook(now.note, with_kwargs=True)
        for edit in edits:
            yield attach(model, edit.point, partial(change, edit))

    with hooked(handles()):
        yield


@contextmanager
def recording(model: Any, points: Sequence[Point]) -> Iterator[dict[Point, Tensor]]:
    """What is at some points in the latest pass, with its gradients, while the context is open.

    Yields a mapping that every pass fills anew. An edit of the same point, made before, is in it.

    Raises:
        UserError: a stream or layer that this architecture does not have.
    """
    seen: dict[Point, Tensor] = {}

    def keep(point: Point, x: Tensor) -> Tensor:
        seen[point] = x
        return x

    with hooked(attach(model, point, partial(keep, point)) for point in points):
        yield seen


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


def _unadapted(model: Any) -> Any:
    """The Hugging Face model under an adapter, whose modules the adapter's passes run."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
