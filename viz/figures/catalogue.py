"""Every figure of a report, under one name; each carries its numbers for the CSV button.

All are pure: they return a new figure with the light template and read nothing but their
arguments. The page swaps the template for the dark one where the reader asks for it.
"""

import plotly.graph_objects as go

from circuits.types import PatchGrid
from probes.causal.tables import GridStats
from viz.figures.bars import BehaviourRow, behaviour_bars, mediation_bars
from viz.figures.budget import BudgetSeries, rate_by_count
from viz.figures.dots import cell_dots
from viz.figures.geometry import crossing_curves, geometry_by_layer
from viz.figures.heads import head_position_heatmap
from viz.figures.heatmaps import head_heatmap, patching_heatmap, selection_heatmap
from viz.figures.nulls import null_histogram
from viz.figures.organism_map import MapPoint, density_complexity_map
from viz.figures.planes import arm_projections, gate_plane, gate_space
from viz.figures.prediction import (
    PredictedPoint,
    against_baselines,
    importances,
    predicted_against_measured,
)
from viz.figures.probing import probe_curves
from viz.figures.retention import retention_curves, retention_forest
from viz.figures.thresholds import ThresholdRow, threshold_forest
from viz.figures.trace import trace_figure
from viz.figures.transfer import transfer_curves

__all__ = [
    "BehaviourRow",
    "BudgetSeries",
    "MapPoint",
    "PredictedPoint",
    "ThresholdRow",
    "against_baselines",
    "arm_projections",
    "behaviour_bars",
    "cell_dots",
    "crossing_curves",
    "density_complexity_map",
    "gate_plane",
    "gate_space",
    "geometry_by_layer",
    "grid_figure",
    "head_heatmap",
    "head_position_heatmap",
    "importances",
    "mediation_bars",
    "null_histogram",
    "patching_heatmap",
    "predicted_against_measured",
    "probe_curves",
    "rate_by_count",
    "retention_curves",
    "retention_forest",
    "selection_heatmap",
    "threshold_forest",
    "trace_figure",
    "transfer_curves",
]

_KINDS = {
    ("layer", "position"): patching_heatmap,
    ("layer", "head"): head_heatmap,
    ("layer", "head", "position"): head_position_heatmap,
}


def grid_figure(grid: PatchGrid, seed: int = 0, stats: GridStats | None = None) -> go.Figure:
    """The figure for a patch grid of any kind; `stats`, if known, spares the resampling.

    Raises:
        ValueError: axes for which there is no figure, fewer than 2 examples, or a label missing.
    """
    kind = cell_dots if len(grid.axes) == 1 else _KINDS.get(grid.axes)
    if kind is None:
        known = ", ".join(" x ".join(axes) for axes in _KINDS)
        got = " x ".join(grid.axes)
        raise ValueError(f"expected a list or a grid of {known}, got {got}; transpose the grid")
    return kind(grid, seed, stats)
