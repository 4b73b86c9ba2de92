"""The result of a patching experiment."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from circuits.types import PatchGrid
from probes.causal.tables import GridStats, grid_stats, stats_table, strongest

SCHEMA = "gatescope.patch/1"
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Patched:
    """One direction: every pair's values, and the statistics of every cell, also as a table."""

    grid: PatchGrid
    stats: GridStats
    table: pd.DataFrame

    @property
    def strongest(self) -> pd.DataFrame:
        """The cells with the largest mean effects."""
        return strongest(self.table).head(_SHOWN)

    def summary(self) -> dict[str, Any]:
        """The levels of both runs and the strongest cells, as JSON."""
        grid = self.grid
        return {
            "axes": list(grid.axes),
            "metric": grid.metric,
            "n": int(grid.base.shape[0]),
            "base": float(grid.base.mean()),
            "source": float(grid.source.mean()),
            "strongest": [without_nan(row) for row in self.strongest.to_dict("records")],
        }


@dataclass(frozen=True, eq=False)
class Patching:
    """Every direction that was asked for, by name, and the engine's path through the model."""

    directions: dict[str, Patched]
    path: str

    def summary(self) -> dict[str, Any]:
        """What the result file has of every direction."""
        grids = {name: patched.summary() for name, patched in self.directions.items()}
        return {"path": self.path, "grids": grids}


def with_statistics(grid: PatchGrid) -> Patched:
    """A grid with the statistics of its cells."""
    stats = grid_stats(grid)
    return Patched(grid, stats, stats_table(grid, stats))


def without_nan(row: dict[Any, Any]) -> dict[str, Any]:
    """A table's row as JSON has it."""
    return {str(k): None if isinstance(v, float) and v != v else v for k, v in row.items()}
