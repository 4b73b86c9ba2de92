"""Grids of ``gatescope patch`` beside those of an analysis."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.report.kinds import PatchRun
from viz.figures.catalogue import grid_figure
from viz.page.drill import drilled
from viz.page.page import Section


def patches(section: Section, runs: Sequence[PatchRun]) -> Section:
    """The section with a part for every patching run."""
    return replace(section, parts=(*section.parts, *(_part(run) for run in runs)))


def _part(run: PatchRun) -> Section:
    figures = [
        drilled(grid_figure(grid), grid, ()) if grid.values.ndim == 3 else grid_figure(grid)
        for grid in run.grids.values()
    ]
    first = next(iter(run.grids.values()))
    prose = (
        f"{first.stream} by {' and '.join(first.axes)}, {len(first.base)} pairs, scored by "
        f"{first.metric}. Every value is in the run's directory, its table in its own page."
    )
    title = f"Patched by hand: {run.name}"
    return Section(title, prose, tuple(figures), data_name=f"patch-{run.name}")
