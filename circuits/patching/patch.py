"""Exact activation patching without waste: grids, lists of sites, one site or several at once.

A patch at layer l and column t can change only layers >= l and columns >= t. Therefore, with
``base`` the run patched into and ``source`` the run patched from:

1. columns before the first difference are computed once and shared as keys and values;
2. a patched variant joins the batch at layer l, from the base run's residuals: one pass through
   the layers serves the variants of all layers, and none is run below its own;
3. variants are stacked along the batch: cells with neighbouring columns, all prompts;
4. a pass starts at its first patched column, on the base run's keys and values before it;
5. only the scored columns are unembedded, and nothing syncs to the host inside the loop;
6. a cell at which base and source agree exactly costs nothing and has exactly no effect.

The result equals a loop of full forward passes up to the rounding of reordered sums. On a model
where this does not hold (``circuits.backends.fastpath``) every cell is a full pass, and the grid
says so.
"""

from collections.abc import Sequence

from circuits.metrics import Measure
from circuits.patching.cells import Cell, Sweep
from circuits.patching.engine import Direction, Pairs, prepare
from circuits.runner import Runner
from circuits.types import PatchGrid, Progress, quiet


def patch(
    runner: Runner,
    pairs: Pairs,
    metric: Measure,
    what: Sweep | Sequence[Cell] | None = None,
    *,
    direction: Direction = "denoising",
    metric_name: str = "metric",
    labels: tuple[str, ...] | None = None,
    keep: int | None = None,
    progress: Progress = quiet,
) -> PatchGrid:
    """Patch every cell of a sweep (``resid_pre``, layer x position by default) or of a list.

    Args:
        runner: the model.
        pairs: n pairs, aligned column by column or by named spans.
        metric: logits ``[rows, keep, d_vocab]`` to one value per row, or a ``Generated`` behaviour.
            Rows come in whole blocks of the n examples, in their order.
        what: the stream and the cells; or a list of cells, each one place or several at once, whose
            grid has the one axis ``cell``.
        direction: ``denoising`` patches triggered into clean, ``noising`` the reverse.
        labels: names along the grid's last axis before the examples.
        keep: how many last columns the metric sees; by default those that say the answer.
        progress: called with (passes done, passes to do).

    Raises:
        UserError: the pairs never differ, the metric does not give one finite value per example, or
            the model lacks the stream.
    """
    experiment = prepare(
        runner, pairs, Sweep() if what is None else what, direction=direction, keep=keep
    )
    return experiment.measured(metric, metric_name, labels, progress)
