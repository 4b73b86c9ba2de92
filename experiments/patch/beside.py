"""Grids of ``gatescope patch`` beside those of an analysis."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from circuits.types import PatchGrid
from experiments.patch.between_sections import maps, wholes
from experiments.patch.exchanged import OTHER
from experiments.patch.result import SCHEMA
from experiments.runs.ledger import Ledger
from experiments.runs.read import result
from experiments.study import WHERE, Contribution, Finished, Joint
from probes.stats.intervals import mean_interval
from viz.figures.grids import grid_figure
from viz.page.drill import add_drill
from viz.page.page import Section

PatchRun = Finished[dict[str, PatchGrid]]  # grids by direction


def read(folder: Path, manifest: dict[str, Any]) -> PatchRun:
    """A finished run."""
    value = result(folder, SCHEMA, "patch")
    grids = {way: Ledger(folder).grid(f"grid-{way}") for way in value["grids"]}
    return Finished(folder.name, str(folder), manifest, grids)


def beside(runs: Sequence[PatchRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """A part for every run in the chapter of where the effect is, which they open if need be."""
    if runs:
        yield WHERE, Section(WHERE)
    for run in runs:
        yield WHERE, _part(run)


def outcome(run: PatchRun) -> tuple[str, str]:
    """What was patched, and the effect of patching it all."""
    first = next(iter(run.result.values()))
    effects = "; ".join(
        f"{way}: full effect {mean_interval(grid.full_effect.double()):.3g}"
        for way, grid in run.result.items()
    )
    place = f"{first.stream} by {' and '.join(first.axes)}"
    return f"{first.values[..., 0].numel()} cells of {place}", f"{first.metric}; {effects}"


def mapping(run: PatchRun) -> str:
    """The adapter that was patched: the run has its folder's name."""
    return Path(str(run.manifest["question"].get("adapter", "none"))).name


JOINT = Joint("patch", read, beside, outcome, mapping=mapping)


def _between(run: PatchRun, metric: str) -> Section:
    """A run between two models."""
    ledger = Ledger(Path(run.folder))
    only, without = (ledger.rows(f"cells-{way}.parquet") for way in ("denoising", "noising"))
    prose = (
        "Parts exchanged between the organism and its base: each alone in the base, and the "
        "organism without it. The claims of others are in the run's own page."
    )
    title, stem = f"Exchanged between models: {run.name}", f"interchange-{run.name}"
    figures = maps(only, without, metric)
    return Section(title, prose, figures, wholes(only, without), data_name=stem)


def _part(run: PatchRun) -> Section:
    grid = next(iter(run.result.values()))
    if grid.stream.endswith(OTHER):
        return _between(run, grid.metric)
    figures = [
        add_drill(grid_figure(grid), grid, ()) if grid.values.ndim == 3 else grid_figure(grid)
        for grid in run.result.values()
    ]
    first = next(iter(run.result.values()))
    prose = (
        f"{first.stream} by {' and '.join(first.axes)}, {len(first.base)} pairs, scored by "
        f"{first.metric}. Every value is in the run's directory, its table in its own page."
    )
    title = f"Patched by hand: {run.name}"
    return Section(title, prose, tuple(figures), data_name=f"patch-{run.name}")
