"""Every figure of a report, under one name; each carries its numbers for the CSV button.

All are pure: they return a new figure with the light template and read nothing but their
arguments. The page swaps the template for the dark one where the reader asks for it.
"""

from viz.behaviour import BehaviourRow, behaviour_bars, null_histogram
from viz.heatmaps import patching_heatmap, selection_heatmap
from viz.probing import probe_curves
from viz.projections import projection_strips

__all__ = [
    "BehaviourRow",
    "behaviour_bars",
    "null_histogram",
    "patching_heatmap",
    "probe_curves",
    "projection_strips",
    "selection_heatmap",
]
