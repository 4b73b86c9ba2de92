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
from jaxtyping import Float, Int
from torch import Tensor

from circuits.metrics import checked
from circuits.runner import Runner, Window
from circuits.suffix import SuffixRun, run_pairs
from circuits.types import Metric, PatchGrid, TokenPairs

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
    base, source = run_pairs(runner, pairs)
    if direction == "noising":
        base, source = source, base
    columns = base.tokens.width - base.first
    scores = [checked(metric, run.logits) for run in (base, source)]
    differs = (base.resid != source.resid).any(dim=-1).any(dim=1).cpu()  # [layer, column]
    values = scores[0].expand(runner.shape.n_layers, columns, -1).clone()
    chunks = list(_chunks(len(pairs), columns))
    for number, (start, stop) in enumerate(chunks):
        variants = _Variants(runner, base, source, start, stop)
        for layer in range(runner.shape.n_layers):
            wanted = differs[layer, start:stop].nonzero().flatten()
            if len(wanted):
                values[layer, start + wanted] = variants.patched(layer, wanted, metric)
            progress(number * runner.shape.n_layers + layer + 1, len(chunks) * runner.shape.n_layers)
    return PatchGrid(
        direction=direction,
        stream="resid_pre",
        metric=metric_name,
        labels=labels or tuple(str(base.first + c) for c in range(columns)),
        values=values.cpu(),
        base=scores[0].cpu(),
        source=scores[1].cpu(),
    )


def _chunks(n: int, columns: int) -> Iterator[tuple[int, int]]:
    """Neighbouring columns whose variants fit one forward pass."""
    start = 0
    while start < columns:
        count = max(1, _TOKENS_PER_FORWARD // (n * (columns - start)))
        yield start, min(columns, start + count)
        start += count


class _Variants:
    """The variants of one chunk of columns; keys and values are gathered once for all layers."""

    def __init__(
        self, runner: Runner, base: SuffixRun, source: SuffixRun, start: int, stop: int
    ) -> None:
        self.runner, self.base, self.source, self.start = runner, base, source, start
        self.n = len(base.tokens)
        rows = torch.arange(self.n).repeat(stop - start)
        before = base.before(base.first + start)
        self.past = before.rows(rows) if before else None

    def patched(
        self, layer: int, wanted: Int[Tensor, " cells"], metric: Metric
    ) -> Float[Tensor, "cells n"]:
        """Metric with each wanted column (relative to the chunk) patched at ``layer``."""
        cells = len(wanted)
        resid = self.base.resid[layer, :, self.start :].repeat(cells, 1, 1)
        rows = torch.arange(cells * self.n)
        columns = wanted.repeat_interleave(self.n)
        resid[rows, columns] = self.source.resid[layer, rows % self.n, self.start + columns]
        past = self.past
        if past is not None and cells * self.n < past.count:
            past = past.rows(rows)  # every block of n rows holds the same prompts
        tokens = self.base.tokens
        window = Window(
            tokens.ids[:, self.base.first + self.start :].repeat(cells, 1),
            tokens.mask.repeat(cells, 1),
            past,
            resid=resid,
            layer=layer,
        )
        return checked(metric, self.runner.forward(window, keep=1).logits).reshape(cells, self.n)
