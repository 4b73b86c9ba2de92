"""Pairs of prompts as one batch, in which what prompts have in common is run once.

The clean rows stand above the triggered ones. What all prompts begin with (the chat template's
opening) is one row, what a pair has in common before its first difference one row a pair. For that
the padding stands behind the common opening instead of before it; positions count real tokens, so
no token is where it was not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, takewhile

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.align import Pairs, widened
from circuits.errors import expect
from circuits.past import Past
from circuits.runner import Runner, Window
from circuits.types import Point, TokenBatch, TokenPairs


@dataclass(frozen=True)
class Segment:
    """Columns from ``start`` to ``end`` in which the first ``rows`` rows stand for all."""

    start: int
    end: int
    rows: int

    @property
    def tokens(self) -> int:
        return self.rows * (self.end - self.start)


@dataclass(frozen=True)
class Packed:
    """A batch whose later rows begin as earlier ones do."""

    tokens: TokenBatch
    segments: tuple[Segment, ...]

    def since(self, column: int) -> list[Segment]:
        """The segments from a column on, the first cut there."""
        rest = [s for s in self.segments if s.end > column]
        return [Segment(max(s.start, column), s.end, s.rows) for s in rest]


@dataclass(frozen=True)
class PackedRun:
    """An unedited run, kept so that variants can be resumed at any layer and column.

    Attributes:
        resid: of every segment, the residuals entering every layer.
        past: keys and values of all rows.
        logits: of the last columns, those that say the answer.
    """

    packed: Packed
    resid: tuple[Float[Tensor, "layer _ _ d_model"], ...]
    past: Past
    logits: Float[Tensor, "rows keep d_vocab"]


def packed(pairs: TokenPairs) -> Packed:
    """Pairs as one batch, clean rows first.

    Raises:
        UserError: the pairs differ nowhere.
    """
    first, width, n = pairs.first_difference, pairs.clean.width, len(pairs)
    expect(first < width, "sides that differ", "equal ones", "check trigger and control", "pairs")
    both = _stacked(pairs)
    pads = (~both.mask).sum(dim=1)
    prompts = [row[: first - int(pad)] for row, pad in zip(both.prompts(), pads, strict=True)]
    alike = takewhile(lambda ids: len(set(ids)) == 1, zip(*prompts, strict=False))
    opening = sum(1 for _ in alike)
    columns = torch.arange(width)
    order = torch.stack([_moved(columns, int(pad), opening) for pad in pads])
    moved: Callable[[Tensor], Tensor] = partial(torch.gather, dim=1, index=order)
    spans = {name: moved(span) for name, span in both.spans.items()}
    tokens = TokenBatch(moved(both.ids), moved(both.mask), spans, both.texts)
    rows = (1, n, 2 * n)
    ends = zip(pairwise((0, opening, first, width)), rows, strict=True)
    return Packed(tokens, tuple(Segment(*at, count) for at, count in ends if at[0] < at[1]))


def unpacked(pairs: Pairs) -> Packed:
    """Pairs as one batch of which nothing is shared: without the fast path, or of any lengths."""
    both = _stacked(pairs)
    return Packed(both, (Segment(0, both.width, len(both)),))


def _stacked(pairs: Pairs) -> TokenBatch:
    width = max(pairs.clean.width, pairs.triggered.width)
    a, b = (widened(side, width) for side in (pairs.clean, pairs.triggered))
    names = a.spans.keys() & b.spans.keys()
    spans = {name: torch.cat([a.spans[name], b.spans[name]]) for name in names}
    ids, mask = torch.cat([a.ids, b.ids]), torch.cat([a.mask, b.mask])
    return TokenBatch(ids, mask, spans, (*a.texts, *b.texts))


def _moved(columns: Tensor, pads: int, opening: int) -> Tensor:
    """A row's columns with its padding behind its opening."""
    padding, begun, rest = columns.split([pads, opening, len(columns) - pads - opening])
    return torch.cat([begun, padding, rest])


@torch.no_grad()
def run_packed(runner: Runner, batch: Packed) -> PackedRun:
    """Run the segments one after the other."""
    points = [Point(layer) for layer in range(runner.shape.n_layers)]
    tokens, past, resid = batch.tokens, None, []
    for part in batch.segments:
        ids, mask = tokens.ids[: part.rows, part.start : part.end], tokens.mask[: part.rows]
        window = Window(ids, mask[:, : part.end], past)
        out = runner.forward(window, record=points, keep=tokens.keep, grow=True)
        past = out.past
        resid.append(torch.stack([out.acts[point] for point in points]))
    assert past is not None
    return PackedRun(batch, tuple(resid), past, out.logits)


def resumed(
    run: PackedRun,
    layer: int,
    column: int,
    on: Mapping[str, Bool[Tensor, "variant row pos"]],
    runner: Callable[[Mapping[str, Bool[Tensor, "rows pos"]]], Runner],
) -> Float[Tensor, "variant row keep d_vocab"]:
    """What variants say that are the kept run below a layer and before a column.

    Args:
        on: of every variant, where it is what it is, by any name.
        runner: which runs rows that are told so of themselves.
    """
    tokens, parts = run.packed.tokens, run.packed.since(column)
    count = len(next(iter(on.values())))
    # Keys and values of fewer rows are read by whole blocks: from segment to segment the rows of
    # the prompts are these blocks, within one segment the variants.
    many = len(parts) > 1
    order = "row variant" if many else "variant row"
    past = run.past.upto(column) if column or many else None
    if many:
        past = run.past.upto(column).rows(torch.arange(parts[0].rows).repeat_interleave(count))
    logits = torch.empty(0)
    for part in parts:
        last = part is parts[-1]
        each: Callable[[Tensor], Tensor] = partial(
            repeat, pattern=f"row ... -> ({order}) ...", variant=count
        )
        ids, mask = tokens.ids[: part.rows], tokens.mask[: part.rows, : part.end]
        resid = _kept(run, layer, part)
        window = Window(each(ids[:, part.start : part.end]), each(mask), past, each(resid), layer)
        here = {
            name: rearrange(where[:, : part.rows], f"variant row pos -> ({order}) pos")
            for name, where in on.items()
        }
        out = runner(here).forward(window, keep=tokens.keep, grow=not last)
        past, logits = _above(out.past, layer) if out.past else None, out.logits
    return rearrange(logits, f"({order}) ... -> variant row ...", variant=count)


def _kept(run: PackedRun, layer: int, part: Segment) -> Float[Tensor, "rows column d_model"]:
    """The kept residuals entering a layer in a segment, or in the end of one."""
    for resid, whole in zip(run.resid, run.packed.segments, strict=True):
        if whole.end == part.end:
            return resid[layer][:, part.start - whole.start :]
    raise AssertionError(part)


def _above(past: Past, layer: int) -> Past:
    """What a pass from a layer on has grown; layers below it are never read, but have its size."""
    keys, values = past.keys, past.values
    return Past((keys[layer],) * layer + keys[layer:], (values[layer],) * layer + values[layer:])
