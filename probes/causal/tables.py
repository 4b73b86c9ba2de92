"""Statistics of every cell of a patch grid, and the same as a table.

Per cell: the mean effect with its interval and p value, the share of the full effect with its
interval (`probes.stats.means`), and q after Benjamini and Hochberg over all defined cells. A cell
is defined where every example is finite; an undefined cell has no statistics, only NaN, and does
not count as a test. Cells that are exactly 0 everywhere (patches that cannot act) are 0 in [0, 0],
p = 1.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import expect
from circuits.types import PatchGrid
from probes.stats.false_discovery import benjamini_hochberg
from probes.stats.intervals import is_scale
from probes.stats.means import mean_bounds, mean_p, ratio_bounds

LABELLED = ("position", "cell", "sender")  # the axes whose indices have names


@dataclass(frozen=True, eq=False)
class GridStats:
    """What a grid says of each of its cells; NaN where a cell is undefined.

    Attributes:
        n: examples with a finite value.
        mean, low, high: the effect, in the metric's unit, and its interval.
        p: two-sided p value of no mean effect.
        q: p adjusted for all defined cells of the grid.
        recovery, recovery_low, recovery_high: mean effect / mean full effect, unitless; NaN in
            every cell where the interval of the full effect reaches 0.
        defined: every example is finite.
    """

    n: Int[Tensor, "*cells"]
    mean: Float[Tensor, "*cells"]
    low: Float[Tensor, "*cells"]
    high: Float[Tensor, "*cells"]
    p: Float[Tensor, "*cells"]
    q: Float[Tensor, "*cells"]
    recovery: Float[Tensor, "*cells"]
    recovery_low: Float[Tensor, "*cells"]
    recovery_high: Float[Tensor, "*cells"]
    defined: Bool[Tensor, "*cells"]


def grid_stats(grid: PatchGrid, level: float = 0.95) -> GridStats:
    """The statistics of every cell, in tensors of the cells' shape (float64).

    Raises:
        ValueError: fewer than 2 examples, no cell, or a level outside (0, 1).
    """
    effects = grid.effects.to(torch.float64)
    expect(
        effects.ndim >= 2 and effects.numel() != 0 and effects.shape[-1] >= 2,
        "grid values [*cells, n >= 2]",
        tuple(effects.shape),
        "add examples",
    )
    finite = effects.isfinite()
    defined = finite.all(dim=-1)
    moved = defined & (effects != 0).any(dim=-1)
    unmoved = torch.full(defined.shape, torch.nan, dtype=torch.float64)
    unmoved[defined] = 0.0
    p = unmoved + 1
    mean, low, high, value, value_low, value_high = (unmoved.clone() for _ in range(6))
    full = grid.full_effect.to(torch.float64)
    scaled = bool(full.isfinite().all()) and is_scale(full, level)
    if bool(moved.any()):
        rows = effects[moved]
        mean[moved] = rows.mean(dim=-1)
        low[moved], high[moved] = mean_bounds(rows, level)
        p[moved] = mean_p(rows)
        if scaled:
            shares = ratio_bounds(rows, full, level)
            value[moved], value_low[moved], value_high[moved] = shares
    if not scaled:
        value, value_low, value_high = (torch.full_like(unmoved, torch.nan) for _ in range(3))
    q = benjamini_hochberg(p)
    return GridStats(
        finite.sum(dim=-1), mean, low, high, p, q, value, value_low, value_high, defined
    )


def stats_table(grid: PatchGrid, stats: GridStats) -> pd.DataFrame:
    """One row per cell: its index along each axis, and every field of `GridStats`.

    Where the last axis is one of `LABELLED`, its name stands in the column `label`.

    Raises:
        ValueError: axes or labels that do not match the values.
    """
    shape = check_axes(grid)
    columns: dict[str, object] = {
        axis: index.reshape(-1) for axis, index in zip(grid.axes, np.indices(shape), strict=True)
    }
    last = grid.axes[-1]
    if last in LABELLED:
        columns["label"] = [grid.labels[i] for i in np.indices(shape)[-1].reshape(-1)]
    for field in fields(stats):
        columns[field.name] = getattr(stats, field.name).reshape(-1).cpu().numpy()
    return pd.DataFrame(columns)


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """The cells of a grid's table, those with the largest mean effects first."""
    return table.sort_values("mean", key=abs, ascending=False, kind="stable")


def check_axes(grid: PatchGrid) -> tuple[int, ...]:
    """The shape of the cells.

    Raises:
        ValueError: `axes` does not name every axis of the values, or a labelled axis has not one
            label per index.
    """
    shape = tuple(grid.values.shape[:-1])
    expect(
        len(grid.axes) == len(shape),
        f"{len(shape)} axes before the examples",
        f"{len(grid.axes)} ({', '.join(grid.axes)})",
        "name each",
    )
    expect(
        grid.axes[-1] not in LABELLED or len(grid.labels) == shape[-1],
        f"{shape[-1]} labels",
        f"{len(grid.labels)} for axis {grid.axes[-1]!r}",
        "name every column",
    )
    return shape
