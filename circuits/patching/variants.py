"""One forward pass of many patched variants.

Three layouts serve all patching. *Joined*: variants join the base run's batch at the layer they
first change, from its residuals, in a window that begins at the first patched column. *Stacked*:
all variants run from the embeddings, after the shared prefix; needed where keys and values of every
layer are to be kept, as in generation. *Plain*: all variants run from the embeddings over the whole
prompt; needs nothing of a back-end but whole windows, edits and recording.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from circuits.patching.cells import Cell, Place
from circuits.patching.schedule import Job
from circuits.patching.suffix import Sides
from circuits.runner import Output, Runner, Window
from circuits.types import HEAD_STREAMS, Edit, Point

Layout = Literal["joined", "stacked", "plain"]
Stream = Float[Tensor, "rows column *rest"]
Blocks = Float[Tensor, "block n suffix *rest"]


@dataclass(frozen=True)
class Pass:
    """The variants of a job in one forward pass over ``n`` prompts.

    ``cells`` are those of the job's variants, in its order. Blocks of ``n`` rows follow each other:
    the base run first if variants join it, then one block per variant. Patched values are the
    sides' source, or ``own`` values of every variant, ``[variant, n, column, ...]``.
    """

    sides: Sides
    job: Job
    cells: Sequence[Cell]
    layout: Layout
    own: Mapping[Point, Tensor] | None = None

    @property
    def n(self) -> int:
        return len(self.sides.base.tokens)

    @property
    def offset(self) -> int:
        """Blocks before the first variant."""
        return 1 if self.layout == "joined" else 0

    @property
    def start(self) -> int:
        """The first column of the sides that the pass computes."""
        return self.job.start if self.layout == "joined" else 0

    @property
    def skipped(self) -> int:
        """Columns of the pass before the first column of the sides."""
        return self.sides.base.first if self.layout == "plain" else 0

    def run(
        self,
        runner: Runner,
        keep: int = 1,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        grow: bool = False,
    ) -> Output:
        """Forward every variant with its cell patched and with further edits of the whole batch."""
        return runner.forward(
            self.window(), [*self.patches(), *edits], record, keep=keep, grow=grow
        )

    def logits(self, out: Output, keep: int = 1) -> Shaped[Tensor, "variants n keep d_vocab"]:
        """Logits of the variants; columns before the window's are the base run's."""
        blocks = rearrange(out.logits, "(block n) ... -> block n ...", n=self.n)[self.offset :]
        missing = keep - blocks.shape[2]
        if missing <= 0:
            return blocks
        earlier = self.sides.base.logits[:, :missing].expand(len(blocks), -1, -1, -1)
        return torch.cat([earlier.to(blocks), blocks], dim=2)

    def window(self) -> Window:
        """The columns and rows that the pass sees."""
        base, tokens = self.sides.base, self.sides.base.tokens
        first = base.first + self.start - self.skipped
        if self.layout == "joined":
            bottom = self.job.variants[0].layer
            resid = base.resid[bottom, :, self.start :]
            layers = sorted({v.layer for v in self.job.variants})
            joining = {layer: self._entering(layer) for layer in layers}
            ids = tokens.ids[:, first:]
            return Window(ids, tokens.mask, base.before(first), resid, bottom, joining)
        rows = torch.arange(self.n).repeat(len(self.cells))
        return Window(tokens.ids[rows, first:], tokens.mask[rows], base.before(first))

    def _entering(self, layer: int) -> Float[Tensor, "rows column d_model"]:
        """Residuals with which the variants of a layer join."""
        which = [i for i, v in enumerate(self.job.variants) if v.layer == layer]
        resid = self.sides.base.resid[layer, :, self.start :]
        joining = self._patched(Point(layer), which, resid.expand(len(which), *resid.shape))
        return rearrange(joining, "variant n ... -> (variant n) ...")

    def patches(self) -> list[Edit]:
        """The edits of every point that some variant patches."""
        edits = []
        for point in sorted({p.point for cell in self.cells for p in cell}):
            which = [
                i
                for i, (variant, cell) in enumerate(zip(self.job.variants, self.cells, strict=True))
                if any(p.point == point for p in cell)
                # what it joined with is patched already
                and not (self.layout == "joined" and point == Point(variant.layer))
            ]
            edits += self._patches_at(point, which) if which else []
        return edits

    def _patches_at(self, point: Point, which: list[int]) -> list[Edit]:
        def patched(x: Tensor) -> Tensor:
            return self.changed(x, which, lambda old: self._patched(point, which, old))

        if point.stream != "resid_mid":
            return [Edit(point, patched)]
        # The middle residual is set through what attention adds to the residual entering.
        entered: dict[str, Tensor] = {}

        def entering(x: Tensor) -> Tensor:
            entered["x"] = self.blocks(x)[self._rows(which, x)]
            return x

        def added(old: Tensor) -> Tensor:
            return self._patched(point, which, entered["x"] + old) - entered["x"]

        return [
            Edit(Point(point.layer), entering),
            Edit(Point(point.layer, "attn_out"), lambda x: self.changed(x, which, added)),
        ]

    def _patched(self, point: Point, which: list[int], old: Blocks) -> Blocks:
        """The blocks of the variants given, their places at a point replaced."""
        places = [[p for p in self.cells[i] if p.point == point] for i in which]
        if not any(places):
            return old
        masks = torch.stack([self._mask(point, here) for here in places]).to(old.device)
        shape = masks.shape + (1,) * (old.ndim - masks.ndim)
        return torch.where(masks.reshape(shape), self._source(point, which).to(old), old)

    def _source(self, point: Point, which: list[int]) -> Float[Tensor, "..."]:
        """What replaces a point: a block for each of the variants given, or one for all."""
        if self.own is not None:
            return self.own[point][which]
        return self.sides.acts[point][None, :, self.start :]

    def blocks(self, x: Stream) -> Blocks:
        """An activation's rows by block, in the columns of the sides."""
        return rearrange(x[:, self.skipped :], "(block n) ... -> block n ...", n=self.n)

    def changed(
        self, x: Stream, which: Sequence[int], change: Callable[[Blocks], Blocks]
    ) -> Stream:
        """``x`` with ``change`` applied to the blocks of the variants given (-1: the base run)."""
        blocks, rows = self.blocks(x), self._rows(which, x)
        suffix = rearrange(
            blocks.index_copy(0, rows, change(blocks[rows])), "block n ... -> (block n) ..."
        )
        return torch.cat([x[:, : self.skipped], suffix], dim=1) if self.skipped else suffix

    def _rows(self, which: Sequence[int], x: Tensor) -> Int[Tensor, " blocks"]:
        return torch.tensor([self.offset + i for i in which], dtype=torch.long, device=x.device)

    def _mask(self, point: Point, places: Sequence[Place]) -> Bool[Tensor, "n column *head"]:
        per_head = point.stream in HEAD_STREAMS
        heads = self._source(point, [0]).shape[3] if per_head else 1
        mask = torch.zeros(self.n, self.sides.base.width - self.start, heads, dtype=torch.bool)
        for place in places:
            chosen = slice(None) if place.heads is None else list(place.heads)
            mask[:, :, chosen] |= covered(self.sides, place)[:, self.start :, None]
        return mask if per_head else mask[:, :, 0]


def _columns(sides: Sides, place: Place) -> Bool[Tensor, "*n column"]:
    """The columns that a place names, counted from the sides' first."""
    if place.span is not None:
        return sides.base.tokens.spans[place.span][:, sides.base.first :]
    if place.column is not None:
        return torch.arange(sides.base.width) == place.column - sides.base.first
    return torch.ones(sides.base.width, dtype=torch.bool)


def covered(sides: Sides, place: Place) -> Bool[Tensor, "n column"]:
    """The columns of a place that can be patched, counted from the sides' first."""
    return _columns(sides, place) & sides.defined


def undefined(sides: Sides, place: Place) -> Bool[Tensor, " n"]:
    """Examples in which a place that was named has a column without counterpart.

    A place that names neither column nor span covers what there is, and is always defined.
    """
    if place.span is None and place.column is None:
        return torch.zeros(len(sides.defined), dtype=torch.bool)
    missing = (_columns(sides, place) & ~sides.defined).any(dim=1)
    if place.span is None:
        return missing
    return missing | ~sides.base.tokens.spans[place.span].any(dim=1)
