"""The one way into a model: a protocol that back-ends implement, and what is built on it.

``forward`` sees a *window* of columns of a left-padded batch. What came before the window is a
``Past`` (keys and values), and a window may start at a layer from given residuals. From these two
freedoms follow generation, shared prefixes and the patching engine, once for all back-ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.past import Past
from circuits.types import MESSAGE, SAID, Edit, Point, TokenBatch


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, in units of layers, heads, channels and tokens; ``dtype`` is that of its
    activations."""

    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    context: int
    device: str
    dtype: torch.dtype


@dataclass(frozen=True)
class Window:
    """What one forward pass sees.

    Attributes:
        ids: tokens of the window's columns.
        mask: real tokens from column 0 to the window's end.
        past: the columns before the window, or None if it starts at column 0. Its rows may be
            fewer: whole blocks of the window's rows then share them.
        resid: resume from these residuals entering ``layer`` instead of from the embeddings.
        layer: the layer to resume at.
        joining: residuals that join the batch where they enter a layer, as further rows below
            those already there: whole blocks of ``batch`` rows of the same prompts. The logits
            have all rows in the order of joining.
        embedded: input embeddings that are read in place of the tokens.
    """

    ids: Int[Tensor, "batch width"]
    mask: Bool[Tensor, "batch total"]
    past: Past | None = None
    resid: Float[Tensor, "batch width d_model"] | None = None
    layer: int = 0
    joining: Mapping[int, Float[Tensor, "more width d_model"]] = field(default_factory=dict)
    embedded: Float[Tensor, "batch width d_model"] | None = None

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
    """A model that can be run, recorded and edited. Weights are never changed.

    Attributes:
        hf_model: the Hugging Face model underneath (for training and weight edits only).
    """

    shape: Shape
    hf_model: Any

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
    return complete(runner, out, tokens.mask, length, edits, stop)


# Logits of the next token, the rows of the batch that they are of, and how many tokens were chosen
# before, to the tokens that are chosen (on the CPU).
Choose = Callable[[Float[Tensor, "rows vocab"], Int[Tensor, " rows"], int], Int[Tensor, " rows"]]


def likeliest(
    logits: Float[Tensor, "rows vocab"], _rows: Int[Tensor, " rows"], _step: int
) -> Int[Tensor, " rows"]:
    """The most probable tokens: a greedy answer's."""
    return logits.argmax(dim=-1).cpu()


@torch.no_grad()
def complete(
    runner: Runner,
    out: Output,
    mask: Bool[Tensor, "batch pos"],
    length: int,
    edits: Sequence[Edit] = (),
    stop: Sequence[int] = (),
    choose: Choose = likeliest,
) -> Int[Tensor, "batch length"]:
    """Answers after a pass that kept its last logits and its past (see ``generate``).

    Rows that have ended are run no longer, unless there are edits, which may tell rows apart.
    """
    answer = torch.zeros(len(mask), length, dtype=torch.long)
    stops, rows = torch.tensor(list(stop), dtype=torch.long), torch.arange(len(mask))
    ended = torch.zeros(len(mask), dtype=torch.bool)
    for step in range(length):
        chosen = choose(out.logits[:, -1], rows, step)
        answer[rows, step:] = torch.where(ended[rows], answer[rows, step], chosen)[:, None]
        ended[rows] |= torch.isin(answer[rows, step], stops)
        if step + 1 == length or bool(ended.all()):
            break
        past = out.past
        if past is not None and not edits and bool(ended[rows].any()):
            going = (~ended[rows]).nonzero().squeeze(1)
            rows, mask, past = rows[going], mask[going], past.rows(going)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        out = runner.forward(Window(answer[rows, step, None], mask, past), edits, grow=True)
    return answer


def until_stop(answer: Int[Tensor, "n length"], stop: Sequence[int]) -> Bool[Tensor, "n length"]:
    """True up to and including the first stop token of each row."""
    stopped = torch.isin(answer, torch.tensor(list(stop), dtype=answer.dtype)).int()
    return (stopped.cumsum(dim=1) - stopped) == 0


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


def answered(tokens: TokenBatch, answer: Sequence[int]) -> TokenBatch:
    """The batch with the beginning of one answer behind every prompt, and the span ``said``."""
    if not answer:
        return tokens
    longer = extend(tokens, torch.tensor(answer).expand(len(tokens), -1))
    said = longer.spans["last"].cumsum(dim=1) > 0
    return replace(longer, spans={**longer.spans, SAID: said})
