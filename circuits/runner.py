"""The one way into a model: a protocol that back-ends implement, and what is built on it.

``forward`` sees a *window* of columns of a left-padded batch. What came before the window is a
``Past`` (keys and values), and a window may start at a layer from given residuals. From these two
freedoms follow generation, shared prefixes and the patching engine, once for all back-ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.types import MESSAGE, Edit, Point, TokenBatch


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, in units of layers, heads, channels and tokens."""

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    context: int
    device: str
    dtype: torch.dtype


@runtime_checkable
class Past(Protocol):
    """Keys and values of ``width`` columns of ``count`` rows; immutable."""

    @property
    def width(self) -> int: ...

    @property
    def count(self) -> int: ...

    def rows(self, index: Int[Tensor, " rows"]) -> "Past":
        """The chosen rows, in that order, repeats allowed."""
        ...

    def upto(self, width: int) -> "Past":
        """The first ``width`` columns only."""
        ...


@dataclass(frozen=True)
class Window:
    """What one forward pass sees.

    Attributes:
        ids: tokens of the window's columns.
        mask: real tokens from column 0 to the window's end.
        past: the columns before the window, or None if it starts at column 0.
        resid: resume from these residuals entering ``layer`` instead of from the embeddings.
        layer: the layer to resume at.
        joining: residuals that join the batch where they enter a layer, as further rows below
            those already there: whole blocks of ``batch`` rows of the same prompts. The logits
            have all rows in the order of joining.
    """

    ids: Int[Tensor, "batch width"]
    mask: Bool[Tensor, "batch total"]
    past: Past | None = None
    resid: Float[Tensor, "batch width d_model"] | None = None
    layer: int = 0
    joining: Mapping[int, Float[Tensor, "more width d_model"]] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """The window's first column."""
        return self.mask.shape[1] - self.ids.shape[1]


@dataclass(frozen=True)
class Output:
    """Logits of the kept last columns, recorded activations of the window, and the new past.

    Where rows join the pass, a layer's activations have the rows that have joined by then.
    """

    logits: Float[Tensor, "batch keep d_vocab"]
    acts: Mapping[Point, Float[Tensor, "rows width *rest"]] = field(default_factory=dict)
    past: Past | None = None


@runtime_checkable
class Runner(Protocol):
    """A model that can be run, recorded and edited. Weights are never changed."""

    shape: Shape

    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        """Run a window.

        Args:
            window: what to see.
            edits: applied in order; an edit's columns are absolute columns of the batch.
            record: activations to return, after edits at the same point.
            keep: how many last columns to unembed.
            grow: whether to return the past including this window.
        """
        ...

    @property
    def hf_model(self) -> Any:
        """The Hugging Face model underneath (for training and weight edits only)."""
        ...


def whole(tokens: TokenBatch) -> Window:
    """The window that is the whole batch."""
    return Window(tokens.ids, tokens.mask)


@torch.no_grad()
def prefix(runner: Runner, tokens: TokenBatch, width: int) -> Past | None:
    """Keys and values of the first ``width`` columns; None for zero."""
    if width == 0:
        return None
    return runner.forward(
        Window(tokens.ids[:, :width], tokens.mask[:, :width]), keep=1, grow=True
    ).past


@torch.no_grad()
def generate(
    runner: Runner,
    tokens: TokenBatch,
    length: int,
    edits: Sequence[Edit] = (),
    stop: Sequence[int] = (),
) -> Int[Tensor, "batch length"]:
    """Greedy answers of ``length`` tokens; after a stop token a row repeats that token."""
    out = runner.forward(whole(tokens), edits, keep=1, grow=True)
    return continue_greedily(runner, out, tokens.mask, length, edits, stop)


@torch.no_grad()
def continue_greedily(
    runner: Runner,
    out: Output,
    mask: Bool[Tensor, "batch pos"],
    length: int,
    edits: Sequence[Edit] = (),
    stop: Sequence[int] = (),
) -> Int[Tensor, "batch length"]:
    """Greedy answers after a pass that kept its last logits and its past (see ``generate``)."""
    answer = out.logits[:, -1].argmax(dim=-1, keepdim=True).cpu()
    stops = torch.tensor(list(stop), dtype=answer.dtype)
    one = torch.ones(len(answer), 1, dtype=torch.bool)
    while answer.shape[1] < length:
        last = answer[:, -1:]
        ended = torch.isin(last, stops)
        if bool(ended.all()):
            answer = torch.cat([answer, last], dim=1)
            continue
        mask = torch.cat([mask, one], dim=1)
        out = runner.forward(Window(last, mask, out.past), edits, keep=1, grow=True)
        following = out.logits[:, -1].argmax(dim=-1, keepdim=True).cpu()
        answer = torch.cat([answer, torch.where(ended, last, following)], dim=1)
    return answer


def extend(tokens: TokenBatch, answer: Int[Tensor, "batch length"]) -> TokenBatch:
    """The batch with answer tokens appended; of the spans, only ``message`` covers them."""
    real = torch.ones_like(answer, dtype=torch.bool)
    spans = {
        name: torch.cat([columns, real if name == MESSAGE else torch.zeros_like(real)], dim=1)
        for name, columns in tokens.spans.items()
    }
    return TokenBatch(
        torch.cat([tokens.ids, answer], dim=1),
        torch.cat([tokens.mask, real], dim=1),
        spans,
        tokens.texts,
    )
