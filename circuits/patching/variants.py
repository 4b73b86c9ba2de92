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
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from circuits.patching.cells import Cell, Place
from circuits.patching.schedule import Job
from circuits.patching.suffix import Sides
from circuits.runner import Output, Runner, Window
from circuits.types import HEAD_STREAMS, Edit, Point

Layout = Literal["joined", "stacked", "plain"]
Stream = Float[Tensor, "rows column *rest"]


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

    def window(self) -> Window:
        """The columns and rows that the pass sees."""
        base = self.sides.base
        tokens = base.tokens
        if self.layout == "joined":
            first, bottom = base.first + self.start, self.job.variants[0].layer
            resid = base.resid[bottom, :, self.start :]
            joining = {layer: self._entering(layer) for layer in self._layers()}
            ids = tokens.ids[:, first:]
            return Window(ids, tokens.mask, base.before(first), resid, bottom, joining)
        rows = torch.arange(self.n).repeat(len(self.cells))
        if self.layout == "plain":
            return Window(tokens.ids[rows], tokens.mask[rows])
        before = base.before(base.first)
        ids = tokens.ids[rows][:, base.first :]
        return Window(ids, tokens.mask[rows], before.rows(rows) if before else None)

    def _layers(self) -> list[int]:
        return sorted({v.layer for v in self.job.variants})

    def _entering(self, layer: int) -> Float[Tensor, "rows column d_model"]:
        """Residuals with which the variants of a layer join."""
        here = [i for i, v in enumerate(self.job.variants) if v.layer == layer]
        resid = self.sides.base.resid[layer, :, self.start :]
        found = resid.expand(len(here), *resid.shape)
        masks = self._masks(Point(layer), here)
        if masks is not None:
            found = torch.where(masks.unsqueeze(-1), self._values(Point(layer), here), found)
        return found.flatten(0, 1)

    def patches(self) -> list[Edit]:
        """One edit per point that some variant patches."""
        found = []
        for point in sorted({p.point for cell in self.cells for p in cell}):
            which = [
                i
                for i, (variant, cell) in enumerate(zip(self.job.variants, self.cells, strict=True))
                if any(p.point == point for p in cell)
                # what it joined with is patched already
                and not (self.layout == "joined" and point == Point(variant.layer))
            ]
            masks = self._masks(point, which) if which else None
            if masks is not None:
                found += self._patches_at(point, which, masks)
        return found

    def _patches_at(self, point: Point, which: list[int], masks: Tensor) -> list[Edit]:
        def replaced(x: Tensor) -> Tensor:
            return self.changed(x, which, lambda old: self._chosen(point, which, masks, old))

        if point.stream != "resid_mid":
            return [Edit(point, replaced)]
        # The middle residual is set through what attention adds to the residual entering.
        entered: dict[str, Tensor] = {}

        def entering(x: Tensor) -> Tensor:
            entered["x"] = x
            return x

        def added(x: Tensor) -> Tensor:
            return replaced(entered["x"] + x) - entered["x"]

        return [
            Edit(Point(point.layer), entering),
            Edit(Point(point.layer, "attn_out"), lambda x: self.changed_only(x, which, added(x))),
        ]

    def _chosen(self, point: Point, which: list[int], masks: Tensor, old: Tensor) -> Tensor:
        shape = masks.shape + (1,) * (old.ndim - masks.ndim)
        return torch.where(masks.reshape(shape), self._values(point, which).to(old), old)

    def _values(self, point: Point, which: list[int]) -> Float[Tensor, "..."]:
        """What replaces a point in the variants given (one for all, or one for each)."""
        if self.own is not None:
            return self.own[point][which]
        return self.sides.acts[point][:, self.start :]

    def changed(
        self, x: Stream, which: Sequence[int], change: Callable[[Tensor], Tensor]
    ) -> Stream:
        """``x`` with ``change`` applied to the blocks ``[variant, n, column, ...]`` given."""
        opening, suffix = x[:, : self.skipped], x[:, self.skipped :]
        blocks = suffix.unflatten(0, (-1, self.n))
        rows = torch.tensor([self.offset + i for i in which], device=x.device)
        found = blocks.index_copy(0, rows, change(blocks[rows])).flatten(0, 1)
        return torch.cat([opening, found], dim=1) if self.skipped else found

    def changed_only(self, x: Stream, which: Sequence[int], new: Stream) -> Stream:
        """``new`` in the blocks given and ``x``, bit for bit, elsewhere."""
        taken = new[:, self.skipped :].unflatten(0, (-1, self.n))
        rows = torch.tensor([self.offset + i for i in which], device=x.device)
        return self.changed(x, which, lambda _: taken[rows])

    def _masks(
        self, point: Point, which: Sequence[int]
    ) -> Bool[Tensor, "variants n column *head"] | None:
        """True where each of the variants is patched at a point; None if none of them is."""
        places = [[p for p in self.cells[i] if p.point == point] for i in which]
        if not any(places):
            return None
        return torch.stack([self._mask(point, here) for here in places]).to(
            self.sides.base.resid.device
        )

    def _mask(self, point: Point, places: Sequence[Place]) -> Bool[Tensor, "n column *head"]:
        base, heads = self.sides.base, ()
        if point.stream in HEAD_STREAMS:
            act = self.own[point][0] if self.own is not None else self.sides.acts[point]
            heads = act.shape[2:3]
        found = torch.zeros(self.n, base.width - self.start, *heads, dtype=torch.bool)
        for place in places:
            columns = covered(self.sides, place)[:, self.start :]
            if not heads:
                found |= columns
            elif place.heads is None:
                found |= columns.unsqueeze(-1)
            else:
                for head in place.heads:
                    found[:, :, head] |= columns
        return found


def covered(sides: Sides, place: Place) -> Bool[Tensor, "n column"]:
    """The columns of a place that can be patched, counted from the sides' first."""
    base = sides.base
    if place.span is not None:
        columns = base.tokens.spans[place.span][:, base.first :]
    elif place.column is not None:
        columns = torch.arange(base.width) == place.column - base.first
    else:
        columns = torch.ones(base.width, dtype=torch.bool)
    return columns & sides.defined


def undefined(sides: Sides, place: Place) -> Bool[Tensor, " n"]:
    """Examples in which a place that was named has a column without counterpart.

    A place that names neither column nor span covers what there is, and is always defined.
    """
    base = sides.base
    if place.span is not None:
        columns = base.tokens.spans[place.span][:, base.first :]
        absent = ~base.tokens.spans[place.span].any(dim=1)
    elif place.column is not None:
        columns = (torch.arange(base.width) == place.column - base.first).expand_as(sides.defined)
        absent = torch.zeros(len(base.tokens), dtype=torch.bool)
    else:
        return torch.zeros(len(base.tokens), dtype=torch.bool)
    return (columns & ~sides.defined).any(dim=1) | absent


def logits_of(
    found: Output, base: Float[Tensor, "n keep d_vocab"], offset: int, keep: int
) -> Shaped[Tensor, "variants n keep d_vocab"]:
    """Logits of the variants; columns before the window's are the base run's."""
    n = len(base)
    blocks = found.logits.unflatten(0, (-1, n))[offset:]
    missing = keep - blocks.shape[2]
    if missing <= 0:
        return blocks
    earlier = base[:, :missing].expand(len(blocks), -1, -1, -1)
    return torch.cat([earlier.to(blocks), blocks], dim=2)
