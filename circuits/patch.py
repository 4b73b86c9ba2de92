"""Exact activation patching without waste: layer x position, layer x head, or all three.

A patch at layer l and column t can change only layers >= l and columns >= t. Therefore, with
``base`` the run patched into and ``source`` the run patched from:

1. columns before the first difference are computed once and shared as keys and values;
2. a patched variant starts at layer l from the base run's residuals;
3. variants are stacked along the batch: a chunk of cells, all prompts;
4. a chunk starts at its first patched column, on the base run's keys and values before it;
5. only the last column is unembedded, and nothing syncs to the host inside the loop;
6. a cell at which base and source agree exactly costs nothing and has exactly no effect.

The result equals a loop of full forward passes up to the rounding of reordered sums.
"""

from collections.abc import Callable, Sequence
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
_TOKENS_PER_FORWARD = 1024
_BUSY_TOKENS = 96


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
        return ("layer", *(("head",) if self.head else ()), *(("position",) if self.position else ()))


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
        progress: called with (layers done, layers to do).

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
    chunks = _chunks(cells, len(pairs), base.width)
    for number, chunk in enumerate(chunks):
        variants = _Variants(runner, base, source, sweep.stream, [cells[i] for i in chunk])
        for layer in range(runner.shape.n_layers):
            wanted = [k for k, i in enumerate(chunk) if live[layer][i]]
            if wanted:
                rows = torch.tensor([chunk[k] for k in wanted])
                values[layer, rows] = variants.patched(layer, wanted, metric)
            progress(number * len(live) + layer + 1, len(chunks) * len(live))
    return PatchGrid(
        direction=direction,
        stream=sweep.stream,
        metric=metric_name,
        labels=labels or _labels(base, sweep),
        values=values.unflatten(1, _grid_shape(cells)).cpu(),
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
    last = cells[-1].index
    return tuple(i + 1 for i in last) or (1,)


def _labels(base: SuffixRun, sweep: Sweep) -> tuple[str, ...]:
    if sweep.position:
        return tuple(str(base.first + c) for c in range(base.width))
    return tuple(str(h) for h in range(base.acts.shape[3])) if sweep.head else ("all",)


def _differing(base: Tensor, source: Tensor, cells: Sequence[_Cell]) -> list[list[bool]]:
    """Per layer and cell, whether base and source differ there for any prompt (one host sync)."""
    differs = (base != source).any(dim=1)  # [layer, column, ...]
    by_cell = []
    for cell in cells:
        here = differs if cell.column is None else differs[:, cell.column : cell.column + 1]
        here = here if cell.head is None else here[:, :, cell.head]
        by_cell.append(here.flatten(1).any(dim=1))
    return torch.stack(by_cell, dim=1).cpu().tolist()


def _chunks(cells: Sequence[_Cell], n: int, width: int) -> list[list[int]]:
    """Cells grouped by neighbouring first columns.

    A group's window starts at its first column, so a group is closed when the column changes,
    unless it is still too small to keep the hardware busy, or when it is full.
    """
    order = sorted(range(len(cells)), key=lambda i: cells[i].start)
    groups: list[list[int]] = []
    for i in order:
        if groups:
            first = cells[groups[-1][0]].start
            size = n * len(groups[-1]) * (width - first)
            full = size + n * (width - first) > _TOKENS_PER_FORWARD
            if not full and (cells[i].start == first or size < _BUSY_TOKENS):
                groups[-1].append(i)
                continue
        groups.append([i])
    return groups


class _Variants:
    """The variants of one chunk of cells; keys and values are gathered once for all layers."""

    def __init__(
        self, runner: Runner, base: SuffixRun, source: SuffixRun, stream: str, cells: list[_Cell]
    ) -> None:
        self.runner, self.base, self.source, self.stream = runner, base, source, stream
        self.start = min(cell.start for cell in cells)
        self.n = len(base.tokens)
        self.masks = torch.stack([self._mask(cell) for cell in cells])
        before = base.before(base.first + self.start)
        self.past = before.rows(self._rows(len(cells))) if before else None

    def _rows(self, cells: int) -> Tensor:
        return torch.arange(self.n).repeat(cells)

    def _mask(self, cell: _Cell) -> Bool[Tensor, "column *head"]:
        """True where the cell is patched, in the chunk's window."""
        acts = self.base.acts[0, 0, self.start :]
        mask = torch.zeros(acts.shape[: 2 if self.stream in HEAD_STREAMS else 1], dtype=torch.bool)
        columns = slice(None) if cell.column is None else cell.column - self.start
        if self.stream in HEAD_STREAMS:
            mask[columns, slice(None) if cell.head is None else cell.head] = True
        else:
            mask[columns] = True
        return mask.to(acts.device)

    def patched(self, layer: int, wanted: list[int], metric: Metric) -> Float[Tensor, "cells n"]:
        """Metric with each wanted cell (an index into the chunk) patched at ``layer``."""
        count, tokens = len(wanted), self.base.tokens
        rows = self._rows(count)
        past = self.past
        if past is not None and count * self.n < past.count:
            past = past.rows(torch.arange(count * self.n))  # every block of n rows is alike
        resid = self.base.resid[layer, :, self.start :].repeat(count, 1, 1)
        masks = self.masks[wanted]
        values = self.source.acts[layer, :, self.start :]

        def replaced(x: Tensor) -> Tensor:
            cells = x.unflatten(0, (count, self.n))
            chosen = masks.unsqueeze(1)
            chosen = chosen.reshape(*chosen.shape, *([1] * (cells.ndim - chosen.ndim)))
            return torch.where(chosen, values.to(x), cells).flatten(0, 1)

        edits = []
        if self.stream == "resid_pre":
            resid = replaced(resid)
        else:
            edits = [self._edit(layer, replaced, resid)]
        window = Window(
            tokens.ids[rows][:, self.base.first + self.start :],
            tokens.mask[rows],
            past,
            resid=resid,
            layer=layer,
        )
        logits = self.runner.forward(window, edits, keep=1).logits
        return checked(metric, logits).reshape(count, self.n)

    def _edit(self, layer: int, replaced: Callable[[Tensor], Tensor], resid: Tensor) -> Edit:
        """The replacement at the stream; the middle residual is set through what attention adds."""
        if self.stream != "resid_mid":
            return Edit(Point(layer, self.stream), replaced)
        return Edit(Point(layer, "attn_out"), lambda x: replaced(resid + x) - resid)
