"""Exact activation patching of the residual stream, layer by column, without waste.

A patch at layer l and column t can change only layers >= l and columns >= t. Therefore, with
``base`` the run patched into and ``source`` the run patched from:

1. columns before the first difference are computed once and shared as keys and values;
2. a patched variant starts at layer l from the base run's residuals, with one column replaced;
3. variants are stacked along the batch: a chunk of neighbouring columns, all prompts;
4. a chunk starts at its own first column, on the base run's keys and values before it;
5. only the last column is unembedded;
6. a cell at which base and source agree exactly costs nothing and has exactly no effect.

The result equals a loop of full forward passes up to the rounding of reordered sums.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import UserError
from circuits.metrics import checked
from circuits.runner import Past, Runner, Window, prefix
from circuits.types import Metric, PatchGrid, Point, TokenBatch, TokenPairs

Progress = Callable[[int, int], None]
_TOKENS_PER_FORWARD = 2048


@torch.no_grad()
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
    """Patch ``resid_pre`` at every layer and every column from the first difference on.

    Args:
        runner: the model.
        pairs: n aligned pairs, ``[n, pos]``.
        metric: last logits to one value per example.
        direction: ``denoising`` patches triggered into clean, ``noising`` the reverse.
        labels: names of the columns from the first difference on.
        progress: called with (layers done, layers to do).

    Raises:
        UserError: the pairs never differ, or the metric does not give one value per example.
    """
    base, source = pairs.clean, pairs.triggered
    if direction == "noising":
        base, source = source, base
    first = pairs.first_difference
    if first == base.width:
        raise UserError("patching: the pairs do not differ anywhere; check trigger and control word")
    base_run = _Run.of(runner, base, first, metric)
    source_run = _Run.of(runner, source, first, metric)
    differs = (base_run.resid != source_run.resid).any(dim=-1).any(dim=1).cpu()  # [layer, column]
    values = base_run.metric.expand(runner.shape.n_layers, base.width - first, -1).clone()
    chunks = list(_chunks(len(base), base.width - first))
    for number, (start, stop) in enumerate(chunks):
        variants = _Variants(runner, base, base_run, source_run, first, start, stop)
        for layer in range(runner.shape.n_layers):
            wanted = differs[layer, start:stop].nonzero().flatten()
            if len(wanted):
                values[layer, start + wanted] = variants.patched(layer, wanted, metric)
            progress(number * runner.shape.n_layers + layer + 1, len(chunks) * runner.shape.n_layers)
    return PatchGrid(
        direction=direction,
        stream="resid_pre",
        metric=metric_name,
        labels=labels or tuple(str(c) for c in range(first, base.width)),
        values=values.cpu(),
        base=base_run.metric.cpu(),
        source=source_run.metric.cpu(),
    )


def _chunks(n: int, columns: int) -> Iterator[tuple[int, int]]:
    """Neighbouring columns whose variants fit one forward pass."""
    start = 0
    while start < columns:
        count = max(1, _TOKENS_PER_FORWARD // (n * (columns - start)))
        yield start, min(columns, start + count)
        start += count


class _Run:
    """One unpatched run from the first difference on: residuals of every layer, metric, past."""

    def __init__(self, resid: Tensor, metric: Tensor, past: Past) -> None:
        self.resid: Float[Tensor, "layer n column d_model"] = resid
        self.metric: Float[Tensor, " n"] = metric
        self.past = past

    @classmethod
    def of(cls, runner: Runner, tokens: TokenBatch, first: int, metric: Metric) -> "_Run":
        points = [Point(layer) for layer in range(runner.shape.n_layers)]
        window = Window(tokens.ids[:, first:], tokens.mask, prefix(runner, tokens, first))
        out = runner.forward(window, record=points, keep=1, grow=True)
        assert out.past is not None
        resid = torch.stack([out.acts[point] for point in points])
        return cls(resid, checked(metric, out.logits), out.past)


class _Variants:
    """The variants of one chunk of columns; keys and values are gathered once for all layers."""

    def __init__(
        self, runner: Runner, base: TokenBatch, run: _Run, source: _Run, first: int, start: int,
        stop: int,
    ) -> None:
        self.runner, self.run, self.source, self.start = runner, run, source, start
        self.n = len(base)
        self.ids: Int[Tensor, "n column"] = base.ids[:, first + start :]
        self.mask: Bool[Tensor, "n pos"] = base.mask
        before = run.past.upto(first + start) if first + start else None
        rows = torch.arange(self.n).repeat(stop - start)
        self.past: Any = before.rows(rows) if before else None

    def patched(
        self, layer: int, wanted: Int[Tensor, " cells"], metric: Metric
    ) -> Float[Tensor, "cells n"]:
        """Metric with each wanted column (relative to the chunk) patched at ``layer``."""
        cells = len(wanted)
        resid = self.run.resid[layer, :, self.start :].repeat(cells, 1, 1)
        rows = torch.arange(cells * self.n)
        columns = wanted.repeat_interleave(self.n)
        resid[rows, columns] = self.source.resid[layer, rows % self.n, self.start + columns]
        past = self.past
        if past is not None and cells * self.n < past.count:
            past = past.rows(rows)  # every block of n rows holds the same prompts
        window = Window(
            self.ids.repeat(cells, 1), self.mask.repeat(cells, 1), past, resid=resid, layer=layer
        )
        return checked(metric, self.runner.forward(window, keep=1).logits).reshape(cells, self.n)
