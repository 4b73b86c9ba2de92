"""What every figure of a patch grid shares: what is shown of a cell, its hover and its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from circuits.types import PatchGrid
from probes.causal.tables import LABELLED, GridStats, check_axes, grid_stats
from viz.text import escaped, interval_text, shortened, spaced

SIGNIFICANT = 0.05
UNDEFINED = "undefined: no common span"
_WORDS = {
    "denoising": ("Denoising: triggered activation patched into the clean run", "clean"),
    "noising": ("Noising: clean activation patched into the triggered run", "triggered"),
}


@dataclass(frozen=True, eq=False)
class Shown:
    """The quantity that is drawn of each cell, with its interval, and the words for it.

    Attributes:
        value, low, high: the recovery; or, where the interval of the full effect reaches 0 and
            there is no scale to normalise by, the mean effect in the metric's unit.
        scaled: whether it is the recovery.
        name: the quantity with its unit, for an axis.
        title, about: of the figure; the second says what was patched, n, and what 0 and 1 are.
        stats: all that is known of the cells.
    """

    value: Tensor
    low: Tensor
    high: Tensor
    scaled: bool
    name: str
    title: str
    about: str
    stats: GridStats


def shown(grid: PatchGrid, seed: int, stats: GridStats | None = None) -> Shown:
    """What figures show of a grid; `stats`, if known already, spares the resampling.

    Raises:
        ValueError: as `grid_stats`, or axes or labels that do not match the values.
    """
    check_axes(grid)
    stats = grid_stats(grid, seed=seed) if stats is None else stats
    title, into = _WORDS[grid.direction]
    about = f"{escaped(grid.metric)}, {escaped(grid.stream)}, n = {grid.values.shape[-1]} pairs; "
    about += f"0 = {into} run"
    if bool(stats.recovery.isfinite().any()) or not bool(stats.defined.any()):
        about += ", 1 = full effect"
        parts = (stats.recovery, stats.recovery_low, stats.recovery_high)
        return Shown(*parts, True, "mean normalised recovery", title, about, stats)
    about += "; in the metric's unit, as the full effect's interval reaches 0"
    parts = (stats.mean, stats.low, stats.high)
    return Shown(*parts, False, "mean effect on the metric", title, about, stats)


def marks(what: Shown) -> str:
    """The part of a heatmap's subtitle that explains the marks on its cells."""
    insignificant = int((what.stats.q > SIGNIFICANT).sum())
    measured = int(what.stats.defined.sum())
    text = f"dot: q > {SIGNIFICANT} ({insignificant} of {measured} cells)"
    missing = what.stats.defined.numel() - measured
    return text + (f"; hatched: undefined, no common span ({missing})" if missing else "")


def hovers(grid: PatchGrid, what: Shown) -> np.ndarray:
    """The hover text of every cell, as an object array of the cells' shape."""
    n = grid.values.shape[-1]
    texts = [
        f"{_cell_name(grid, index)}<br>{_undefined(numbers[0], n)}"
        if math.isnan(numbers[1])
        else f"{_cell_name(grid, index)}<br>{_measured(numbers)}"
        for index, numbers in _cells(what.stats)
    ]
    return np.array(texts, dtype=object).reshape(what.value.shape)


def table_rows(grid: PatchGrid, what: Shown) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the figure's CSV: every cell with all its numbers."""
    last = grid.axes[-1]
    header = ["direction", *("column" if axis == "position" else axis for axis in grid.axes)]
    header += [{"position": "token"}.get(last, "label")] if last in LABELLED else []
    header += ["recovery", "low", "high", "q", "n", "effect", "effect_low", "effect_high", "p"]
    rows: list[list[Any]] = []
    for index, (n, mean, low, high, p, q, *recovery) in _cells(what.stats):
        label = [spaced(grid.labels[index[-1]])] if last in LABELLED else []
        rows.append([grid.direction, *index, *label, *recovery, q, n, mean, low, high, p])
    return header, rows


def _q_text(q: float) -> str:
    return "q < 0.001" if q < 0.001 else f"q = {q:.3f}"


def _cells(stats: GridStats) -> list[tuple[tuple[int, ...], Sequence[Any]]]:
    """Index and (n, mean, low, high, p, q, recovery, its low, its high) of every cell, in order."""
    fields = (
        stats.n,
        stats.mean,
        stats.low,
        stats.high,
        stats.p,
        stats.q,
        stats.recovery,
        stats.recovery_low,
        stats.recovery_high,
    )
    numbers = zip(*(part.reshape(-1).tolist() for part in fields), strict=True)
    return list(zip(np.ndindex(*stats.n.shape), numbers, strict=True))


def _cell_name(grid: PatchGrid, index: tuple[int, ...]) -> str:
    """Where a cell is: "layer 3, head 1, token <b>cobalt</b>"."""
    parts = []
    for axis, i in zip(grid.axes, index, strict=True):
        if axis in LABELLED:
            label = f"<b>{escaped(shortened(spaced(grid.labels[i]), 60))}</b>"
            parts.append(f"token {label}" if axis == "position" else label)
        else:
            parts.append(f"{axis} {i}")
    return ", ".join(parts)


def _measured(numbers: Sequence[Any]) -> str:
    n, mean, low, high, _, q, *recovery = numbers
    shares = "" if math.isnan(recovery[0]) else f"recovery {interval_text(*recovery)}<br>"
    return f"{shares}effect {interval_text(mean, low, high, 3)}<br>{_q_text(q)} · n = {n}"


def _undefined(kept: int, n: int) -> str:
    return UNDEFINED if kept == 0 else f"{UNDEFINED} in {n - kept} of {n} pairs"
