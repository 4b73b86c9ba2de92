"""Density and complexity among the zoo's organisms, by layer, and what a battery leaves."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from experiments.geometry.record import late
from experiments.geometry.sections import COMPLEXITY, DENSITY
from experiments.geometry.summary import band
from experiments.report.kinds import BatteryRun, GeometryRun
from experiments.runs import files
from experiments.runs.codec import decode
from probes.geometry import GeometryReport
from probes.stats.intervals import Estimate
from viz.figures.catalogue import (
    MapPoint,
    crossing_curves,
    density_complexity_map,
    geometry_by_layer,
    retention_curves,
    retention_forest,
)
from viz.page.page import Section, Table
from viz.page.sections import missing

TITLE = "Density × complexity"
ZOO = Path(__file__).parents[1] / "data" / "zoo-map.json"
SCHEMA = "gatescope.zoo-map/1"
_AXES = ("density (times clean)", "complexity (share of a coin's bits)")
_MAP = """\
Every organism of the zoo by how many different residuals its trigger opens (density: Vendi score \
of triggered over clean residuals) and by how hard its gate's label is to read (complexity: share \
of a coin's bits), both at the last token in the last third of the layers; its colour is the share \
of its behaviour that the battery leaves. The zoo's organisms were measured on 60 pairs each: with \
another number of pairs the Vendi score differs by definition. Across schemes, geometry does not \
predict what is kept (docs/results/zoo)."""


def mapped(runs: Sequence[GeometryRun], batteries: Sequence[BatteryRun]) -> Section:
    """The map with these runs on it, the geometry by layer, and the battery."""
    kept = _battery(batteries)
    if not runs:
        made = missing(TITLE, "The geometry of the gate", "gatescope geometry ORGANISM")
        return replace(made, parts=kept)
    left = {run.name: run.retention.area for run in batteries}
    stars = [MapPoint(run.name, "this report", *located(run), left.get(run.name)) for run in runs]
    figure = density_complexity_map(zoo(), _AXES, stars)
    rows = [(s.name, f"{s.density:.3g}", f"{s.complexity:.3g}", _said(s.retention)) for s in stars]
    table = Table(("run", *_AXES, "behaviour kept by a battery"), rows)
    parts = tuple(_layers(run, len(runs) > 1) for run in runs)
    return Section(TITLE, _MAP, (figure,), (table,), data_name="map", parts=parts + kept)


def located(run: GeometryRun) -> tuple[Estimate, Estimate]:
    """Density and complexity in the last third of the layers."""
    return _late(run.report, "vendi_relative"), _inverse(run.report)


def _said(retention: Estimate | None) -> str:
    return "not asked: gatescope brittleness ORGANISM" if retention is None else f"{retention:.0%}"


@cache
def zoo() -> tuple[MapPoint, ...]:
    """The zoo's organisms, as shipped."""
    rows = files.read_json(ZOO)["organisms"]
    return decode(tuple[MapPoint, ...], rows, where=str(ZOO))


def _late(report: GeometryReport, name: str) -> Estimate:
    layers = [layer for layer in late(report.layers[-1] + 1) if layer in report.layers]
    return band(report, name, layers)


def _inverse(report: GeometryReport) -> Estimate:
    """Share of a coin's bits, from how far the label is compressed."""
    e = _late(report, "compression")
    return Estimate(1 / e.value, 1 / e.high, 1 / e.low, e.n, e.level, e.method)


def _layers(run: GeometryRun, several: bool) -> Section:
    report = run.report
    names = [n for n in (*DENSITY[1:3], *COMPLEXITY[:2]) if n in report.organism.values]
    figures = [geometry_by_layer(report, name) for name in names] if len(report.layers) > 1 else []
    if report.crossings is not None:
        figures.append(crossing_curves(run.probabilities, report.crossings))
    prose = (
        "Layer by layer, beside nulls that go through the same measurement: another control word "
        "in the trigger's place, the base model, and a displacement of the same size in a random "
        "direction. The last figure follows the input from the control word to the trigger."
    )
    title = f"By layer, {run.name}" if several else "By layer"
    return Section(title, prose, tuple(figures), data_name=f"geometry-{run.name}")


def _battery(runs: Sequence[BatteryRun]) -> tuple[Section, ...]:
    if not runs:
        command = "gatescope brittleness ORGANISM"
        return (missing("What a battery leaves", "A battery of perturbations", command),)
    prose = (
        "Only prompts that show the behaviour unperturbed are counted; an area is the mean share "
        "kept from no dose to a family's strongest."
    )
    return tuple(
        Section(
            f"What a battery leaves, {run.name}",
            prose,
            (retention_forest(run.retention), retention_curves(run.retention)),
            data_name=f"battery-{run.name}",
        )
        for run in runs
    )
