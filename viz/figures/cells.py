"""What every figure of a patch grid shares: what is shown of a cell, its hover and its numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from circuits.types import PatchGrid
from probes.causal.tables import GridStats, check_axes, grid_stats, stats_table
from probes.stats.intervals import interval_text
from viz.text import escape, shorten, show_spaces

SIGNIFICANT = 0.05
UNDEFINED = "undefined: no common span"
# The columns of a figure's CSV after a cell's place, and what each is of its statistics.
_COLUMNS = {
    "recovery": "recovery",
    "low": "recovery_low",
    "high": "recovery_high",
    "q": "q",
    "n": "n",
    "effect": "mean",
    "effect_low": "low",
    "effect_high": "high",
    "p": "p",
}
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


def summarise(grid: PatchGrid, stats: GridStats | None = None) -> Shown:
    """What figures show of a grid; `stats`, if known already.

    Raises:
        ValueError: as `grid_stats`, or axes or labels that do not match the values.
    """
    check_axes(grid)
    stats = grid_stats(grid) if stats is None else stats
    title, into = _WORDS[grid.direction]
    about = (
        f"{escape(grid.metric)}, {escape(grid.stream)}, n = {grid.values.shape[-1]} pairs; "
        f"0 = {into} run"
    )
    if bool(stats.recovery.isfinite().any()) or not bool(stats.defined.any()):
        parts = (stats.recovery, stats.recovery_low, stats.recovery_high)
        name, unit = "mean normalised recovery", ", 1 = full effect"
        return Shown(*parts, True, name, title, about + unit, stats)
    parts = (stats.mean, stats.low, stats.high)
    unit = "; in the metric's unit, as the full effect's interval reaches 0"
    return Shown(*parts, False, "mean effect on the metric", title, about + unit, stats)


def marks(what: Shown) -> str:
    """The part of a heatmap's subtitle that explains the marks on its cells."""
    insignificant = int((what.stats.q > SIGNIFICANT).sum())
    measured = int(what.stats.defined.sum())
    text = f"dot: q > {SIGNIFICANT} ({insignificant} of {measured} cells)"
    missing = what.stats.defined.numel() - measured
    return text + (f"; hatched: undefined, no common span ({missing})" if missing else "")


def hovers(grid: PatchGrid, what: Shown) -> np.ndarray:
    """The hover text of every cell, as an object array of the cells' shape."""
    cells = stats_table(grid, what.stats).to_dict("records")
    texts = [_hover(_cell_name(grid, cell), cell, grid.values.shape[-1]) for cell in cells]
    return np.array(texts, dtype=object).reshape(what.value.shape)


def table_rows(grid: PatchGrid, what: Shown) -> list[dict[str, Any]]:
    """The rows of the figure's CSV: every cell with all its numbers."""
    axes = {axis: "column" if axis == "position" else axis for axis in grid.axes}
    label = "token" if grid.axes[-1] == "position" else "label"
    return [
        {
            "direction": grid.direction,
            **{name: cell[axis] for axis, name in axes.items()},
            **({label: show_spaces(cell["label"])} if "label" in cell else {}),
            **{name: cell[field] for name, field in _COLUMNS.items()},
        }
        for cell in stats_table(grid, what.stats).to_dict("records")
    ]


def _cell_name(grid: PatchGrid, cell: Mapping[Any, Any]) -> str:
    """Where a cell is: "layer 3, head 1, token <b>cobalt</b>"."""
    names = [f"{axis} {cell[axis]}" for axis in grid.axes]
    if "label" in cell:
        label = f"<b>{escape(shorten(show_spaces(cell['label']), 60))}</b>"
        names[-1] = f"token {label}" if grid.axes[-1] == "position" else label
    return ", ".join(names)


def _hover(name: str, cell: Mapping[Any, Any], of: int) -> str:
    """A cell with its effect, its recovery where there is one, q and n; or why it has none."""
    n, q, share = cell["n"], cell["q"], cell["recovery"]
    if math.isnan(cell["mean"]):
        return f"{name}<br>{UNDEFINED}{f' in {of - n} of {of} pairs' if n else ''}"
    recovered = interval_text(share, cell["recovery_low"], cell["recovery_high"], ".2f")
    scaled = "" if math.isnan(share) else f"recovery {recovered}<br>"
    effect = interval_text(cell["mean"], cell["low"], cell["high"], ".3f")
    sure = "q < 0.001" if q < 0.001 else f"q = {q:.3f}"
    return f"{name}<br>{scaled}effect {effect}<br>{sure} · n = {n}"
