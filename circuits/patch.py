"""Exact activation patching without waste: layer x position, layer x head, or all three.

A patch at layer l and column t can change only layers >= l and columns >= t. Therefore, with
``base`` the run patched into and ``source`` the run patched from:

1. columns before the first difference are computed once and shared as keys and values;
2. a patched variant joins the batch at layer l, from the base run's residuals: one pass through
   the layers serves the variants of all layers, and none is run below its own;
3. variants are stacked along the batch: cells with neighbouring columns, all prompts;
4. a pass starts at its first patched column, on the base run's keys and values before it;
5. only the last column is unembedded, and nothing syncs to the host inside the loop;
6. a cell at which base and source agree exactly costs nothing and has exactly no effect.

The result equals a loop of full forward passes up to the rounding of reordered sums.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError
from circuits.metrics import checked
from circuits.runner import Runner, Window
from circuits.suffix import SuffixRun, run_pairs
from circuits.types import HEAD_STREAMS, Edit, Metric, PatchGrid, Point, TokenPairs

Progress = Callable[[int, int], None]
# A pass holds at most so many tokens by its last layer; a group of cells is big enough alone from
# so many per layer; and joining two groups may waste so many.
_TOKENS_PER_FORWARD = 4096
_TOKENS_PER_LAYER = 48
_WASTED_TOKENS = 48


@dataclass(frozen=True)
class Sweep:
    """Which cells to patch: a stream, and whether cells are single positions, heads, or both.

    Without ``position`` a cell covers every column from the first difference on. Without ``head``
    it covers every head; residual streams have none.
    """

    stream: str = "resid_pre"
    position: bool = True
    head: bool = False

    def __post_init__(self) -> None:
        if self.head and self.stream not in HEAD_STREAMS:
            raise UserError(f"sweep: {self.stream} has no heads; expected one of {HEAD_STREAMS}")

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the grid's axes before the example axis."""
        return (
            "layer",
            *(("head",) if self.head else ()),
            *(("position",) if self.position else ()),
        )


@dataclass(frozen=True)
class _Cell:
    """A patched part of the suffix: one column or all, one head or all; where it goes in a grid."""

    index: tuple[int, ...]
    column: int | None
    head: int | None

    @property
    def start(self) -> int:
        return self.column or 0


def patch_residual(
    runner: Runner,
    pairs: TokenPairs,
    metric: Metric,
    *,
    direction: Literal["denoising", "noising"] = "denoising",
    metric_name: str = "metric",
    labels: tuple[str, ...] | None = None,
    progress: Progress = lambda done, total: None,
) -> PatchGrid:
    """``patch`` of ``resid_pre`` over layer x position."""
    return patch(
        runner, pairs, metric, Sweep(), direction=direction, metric_name=metric_name,
        labels=labels, progress=progress,
    )  # fmt: skip


@torch.no_grad()
def patch(
    runner: Runner,
    pairs: TokenPairs,
    metric: Metric,
    sweep: Sweep,
    *,
    direction: Literal["denoising", "noising"] = "denoising",
    metric_name: str = "metric",
    labels: tuple[str, ...] | None = None,
    progress: Progress = lambda done, total: None,
) -> PatchGrid:
    """Patch every cell of a sweep, from the first difference on.

    Args:
        runner: the model.
        pairs: n aligned pairs, ``[n, pos]``.
        metric: last logits to one value per example.
        sweep: the stream and the cells.
        direction: ``denoising`` patches triggered into clean, ``noising`` the reverse.
        labels: names along the grid's last axis before the examples.
        progress: called with (passes done, passes to do).

    Raises:
        UserError: the pairs never differ, the metric does not give one value per example, or the
            model lacks the stream.
    """
    base, source = run_pairs(runner, pairs, sweep.stream)
    if direction == "noising":
        base, source = source, base
    scores = [checked(metric, run.logits) for run in (base, source)]
    cells = _cells(base.acts, sweep)
    live = _differing(base.acts, source.acts, cells)
    values = scores[0].expand(runner.shape.n_layers, len(cells), -1).clone()
    jobs = list(_jobs(cells, live, len(pairs), base.width))
    for done, job in enumerate(jobs, 1):
        variants = _Variants(runner, base, source, sweep.stream, [cells[i] for i in job.cells])
        found = variants.patched(job.wanted, metric)
        for layer, wanted in job.wanted.items():
            values[layer, torch.tensor([job.cells[k] for k in wanted])] = found[layer]
        progress(done, len(jobs))
    return PatchGrid(
        direction=direction,
        stream=sweep.stream,
        metric=metric_name,
        labels=labels or _labels(base, sweep),
        values=_finite(values.unflatten(1, _grid_shape(cells)) if cells[0].index else values[:, 0]),
        base=scores[0].cpu(),
        source=scores[1].cpu(),
        axes=sweep.axes,
    )


def _cells(acts: Tensor, sweep: Sweep) -> list[_Cell]:
    """The cells of one layer, head-major."""
    columns = range(acts.shape[2]) if sweep.position else [None]
    heads = range(acts.shape[3]) if sweep.head else [None]
    return [
        _Cell((*((h,) if h is not None else ()), *((c,) if c is not None else ())), c, h)
        for h in heads
        for c in columns
    ]


def _grid_shape(cells: Sequence[_Cell]) -> tuple[int, ...]:
    return tuple(i + 1 for i in cells[-1].index)


def _finite(values: Tensor) -> Tensor:
    """The grid on the host, refused if a value is not finite (checked once, after the loop)."""
    found = values.cpu()
    if not bool(found.isfinite().all()):
        raise UserError("patching: expected finite metric values, got NaN or infinity; check dtype")
    return found


def _labels(base: SuffixRun, sweep: Sweep) -> tuple[str, ...]:
    if sweep.position:
        return tuple(str(base.first + c) for c in range(base.width))
    return tuple(str(i) for i in range(base.acts.shape[3] if sweep.head else len(base.acts)))


def _differing(base: Tensor, source: Tensor, cells: Sequence[_Cell]) -> list[list[bool]]:
    """Per layer and cell, whether base and source differ there for any prompt (one host sync)."""
    differs = (base != source).any(dim=1)  # [layer, column, ...]
    by_cell = []
    for cell in cells:
        here = differs if cell.column is None else differs[:, cell.column : cell.column + 1]
        here = here if cell.head is None else here[:, :, cell.head]
        by_cell.append(here.flatten(1).any(dim=1))
    return torch.stack(by_cell, dim=1).cpu().tolist()


@dataclass(frozen=True)
class _Job:
    """One forward pass: cells with neighbouring first columns, and which of them at which layer."""

    cells: list[int]
    wanted: dict[int, list[int]]


def _jobs(cells: Sequence[_Cell], live: list[list[bool]], n: int, width: int) -> Iterator[_Job]:
    """Cut the sweep into passes of bounded size."""
    for group in _groups(cells, n, width):
        tokens = n * (width - cells[group[0]].start)
        wanted: dict[int, list[int]] = {}
        size = 0
        for layer, flags in enumerate(live):
            here = [k for k, i in enumerate(group) if flags[i]]
            if here and size and size + len(here) * tokens > _TOKENS_PER_FORWARD:
                yield _Job(group, wanted)
                wanted, size = {}, 0
            if here:
                wanted[layer] = here
                size += len(here) * tokens
        if wanted:
            yield _Job(group, wanted)


def _groups(cells: Sequence[_Cell], n: int, width: int) -> list[list[int]]:
    """Cells grouped by first column; small neighbouring columns share a group.

    A group's window starts at its first column, so sharing wastes columns; it is done while the
    waste is below what one more forward pass costs anyway.
    """
    order = sorted(range(len(cells)), key=lambda i: cells[i].start)
    groups: list[list[int]] = []
    waste = 0
    for i in order:
        first = cells[groups[-1][0]].start if groups else 0
        waste += n * (cells[i].start - first)
        full = bool(groups) and n * len(groups[-1]) * (width - first) >= _TOKENS_PER_LAYER
        if not groups or waste > _WASTED_TOKENS or (full and cells[i].start != first):
            groups.append([])
            waste = 0
        groups[-1].append(i)
    return groups


class _Variants:
    """The variants of one job. They join the base run's batch at the layers they change."""

    def __init__(
        self, runner: Runner, base: SuffixRun, source: SuffixRun, stream: str, cells: list[_Cell]
    ) -> None:
        self.runner, self.base, self.source, self.stream = runner, base, source, stream
        self.start = min(cell.start for cell in cells)
        self.n = len(base.tokens)
        self.masks = torch.stack([self._mask(cell) for cell in cells])

    def _mask(self, cell: _Cell) -> Bool[Tensor, "column *head"]:
        """True where the cell is patched, in the job's window."""
        acts = self.base.acts[0, 0, self.start :]
        mask = torch.zeros(acts.shape[: 2 if self.stream in HEAD_STREAMS else 1], dtype=torch.bool)
        columns = slice(None) if cell.column is None else cell.column - self.start
        if self.stream in HEAD_STREAMS:
            mask[columns, slice(None) if cell.head is None else cell.head] = True
        else:
            mask[columns] = True
        return mask.to(acts.device)

    def patched(
        self, wanted: dict[int, list[int]], metric: Metric
    ) -> dict[int, Float[Tensor, "cells n"]]:
        """Metric with each wanted cell (an index into the job's cells) patched, per layer.

        The pass starts at the lowest wanted layer with that layer's variants; those of every
        higher layer join on the way.
        """
        layers = sorted(wanted)
        resid = {layer: self._entering(layer, wanted[layer]) for layer in layers}
        edits = [e for layer in layers for e in self._edits(layer, wanted[layer])]
        tokens = self.base.tokens
        first = self.base.first + self.start
        bottom = layers[0]
        window = Window(
            tokens.ids[:, first:],
            tokens.mask,
            self.base.before(first),
            resid=self.base.resid[bottom, :, self.start :],
            layer=bottom,
            joining=resid,
        )
        logits = self.runner.forward(window, edits, keep=1).logits[self.n :]  # base rows are first
        scores = checked(metric, logits).unflatten(0, (-1, self.n))
        sizes = [len(wanted[layer]) for layer in layers]
        return dict(zip(layers, scores.split(sizes), strict=True))

    def _entering(self, layer: int, cells: list[int]) -> Float[Tensor, "rows column d_model"]:
        """Residuals with which the variants of a layer join."""
        resid = self.base.resid[layer, :, self.start :].repeat(len(cells), 1, 1)
        return self._replaced(layer, cells, resid) if self.stream == "resid_pre" else resid

    def _replaced(self, layer: int, cells: list[int], x: Tensor) -> Tensor:
        """``x`` with the source's values in every variant's cell."""
        values = self.source.acts[layer, :, self.start :].to(x)
        blocks = x.unflatten(0, (len(cells), self.n))
        chosen = self.masks[cells].unsqueeze(1)
        chosen = chosen.reshape(*chosen.shape, *([1] * (blocks.ndim - chosen.ndim)))
        return torch.where(chosen, values, blocks).flatten(0, 1)

    def _edits(self, layer: int, cells: list[int]) -> list[Edit]:
        """The replacement at the stream, for the rows that have just joined.

        The middle residual is set through what attention adds to the residual entering.
        """
        if self.stream == "resid_pre":
            return []
        count = len(cells) * self.n
        resid = self._entering(layer, cells)

        def replaced(x: Tensor) -> Tensor:
            return torch.cat([x[:-count], self._replaced(layer, cells, x[-count:])])

        def replaced_middle(x: Tensor) -> Tensor:
            middle = self._replaced(layer, cells, resid + x[-count:])
            return torch.cat([x[:-count], middle - resid])

        if self.stream == "resid_mid":
            return [Edit(Point(layer, "attn_out"), replaced_middle)]
        return [Edit(Point(layer, self.stream), replaced)]
