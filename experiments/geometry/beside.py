"""Density and complexity among the zoo's organisms, by layer."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from experiments.geometry.result import ACTIVATIONS, SCHEMA, Geometry
from experiments.geometry.summary import COMPLEXITY, DENSITY, late_band
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.runs.read import organism_of, result
from experiments.study import MAP, Contribution, Finished, Joint
from probes.brittleness.retention import Retention
from probes.stats.intervals import Estimate
from viz.figures.geometry import crossing_curves, geometry_by_layer
from viz.figures.prediction import MapPoint, density_complexity_map
from viz.page.page import Section, Table
from viz.page.sections import missing

ZOO = Path(__file__).parents[1] / "data" / "zoo-map.json"
ZOO_SCHEMA = "gatescope.zoo-map/1"
AXES = ("density (times clean)", "complexity (share of a coin's bits)")
_MAP = """\
Every organism of the zoo by how many different residuals its trigger opens (density: Vendi score \
of triggered over clean residuals) and by how hard its gate's label is to read (complexity: share \
of a coin's bits), both at the last token in the last third of the layers; its colour is the share \
of its behaviour that the battery leaves. The zoo's organisms were measured on 60 pairs each: with \
another number of pairs the Vendi score differs by definition. Across schemes, geometry does not \
predict what is kept (docs/results/zoo)."""


GeometryRun = Finished[Geometry]


def read(folder: Path, manifest: dict[str, Any]) -> GeometryRun:
    """A finished run."""
    value = result(folder, SCHEMA, "geometry")
    kept = Ledger(folder).tensors(ACTIVATIONS, ["probabilities"])
    tensors = {"probabilities": kept["probabilities"]}
    geometry = decode(Geometry, value, tensors, str(folder / "result.json"))
    return Finished(organism_of(manifest), str(folder), manifest, geometry)


def beside(runs: Sequence[GeometryRun], every: Sequence[Finished[Any]]) -> Iterator[Contribution]:
    """The map with these runs on it, and the geometry by layer."""
    if not runs:
        yield MAP, missing(MAP, "The geometry of the gate", "gatescope geometry ORGANISM")
        return
    kept = {run.name: run.result.area for run in every if isinstance(run.result, Retention)}
    stars = [MapPoint(run.name, "this report", *located(run), kept.get(run.name)) for run in runs]
    figure = density_complexity_map(zoo(), AXES, stars)
    rows = [(s.name, f"{s.density:.3g}", f"{s.complexity:.3g}", _kept(s.retention)) for s in stars]
    table = Table(("run", *AXES, "behaviour kept by a battery"), rows)
    yield MAP, Section(MAP, _MAP, (figure,), (table,), data_name="map")
    for run in runs:
        yield MAP, _layers(run, len(runs) > 1)


def outcome(run: GeometryRun) -> tuple[str, str]:
    """Its place on the map."""
    density, complexity = located(run)
    return "located", f"density {density:.3g}, complexity {complexity:.3g}"


JOINT = Joint("geometry", read, beside, outcome)


def located(run: GeometryRun) -> tuple[Estimate, Estimate]:
    """Density and complexity in the last third of the layers; complexity from the compression."""
    report = run.result.report
    return late_band(report, "vendi_relative"), 1 / late_band(report, "compression")


def _kept(retention: Estimate | None) -> str:
    return "not asked: gatescope brittleness ORGANISM" if retention is None else f"{retention:.0%}"


@cache
def zoo() -> tuple[MapPoint, ...]:
    """The zoo's organisms, as shipped."""
    rows = files.read_json(ZOO)["organisms"]
    return decode(tuple[MapPoint, ...], rows, where=str(ZOO))


def _layers(run: GeometryRun, several: bool) -> Section:
    report = run.result.report
    names = [n for n in (*DENSITY[1:3], *COMPLEXITY[:2]) if n in report.organism.values]
    figures = [geometry_by_layer(report, name) for name in names] if len(report.layers) > 1 else []
    if report.crossings is not None:
        figures.append(crossing_curves(run.result.probabilities, report.crossings))
    prose = (
        "Layer by layer, beside nulls that go through the same measurement: another control word "
        "in the trigger's place, the base model, and a displacement of the same size in a random "
        "direction. The last figure follows the input from the control word to the trigger."
    )
    title = f"By layer, {run.name}" if several else "By layer"
    return Section(title, prose, tuple(figures), data_name=f"geometry-{run.name}")
