"""Run directories of every kind but analyses, as a report reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.types import PatchGrid
from experiments.defend.judging import Judged
from experiments.defend.monitor import Seen
from experiments.defend.result import Defences
from experiments.evaluate.scorecard import FILE, Scorecard, read_scorecard
from experiments.geometry.result import ACTIVATIONS
from experiments.geometry.result import SCHEMA as GEOMETRY
from experiments.patch.sections import SCHEMA as PATCH
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.read import result, unfinished
from probes.brittleness.retention import Retention
from probes.geometry import GeometryReport


@dataclass(frozen=True, eq=False)
class _Other:
    """What every kind has: what the report calls it, where it lies, what it was made from."""

    name: str
    folder: str
    manifest: dict[str, Any]


@dataclass(frozen=True, eq=False)
class EvaluationRun(_Other):
    """A scorecard."""

    card: Scorecard


@dataclass(frozen=True, eq=False)
class DefenceRun(_Other):
    """A trial of defences."""

    found: Defences


@dataclass(frozen=True, eq=False)
class GeometryRun(_Other):
    """Density and complexity; ``probabilities`` on the way from clean to triggered."""

    report: GeometryReport
    scheme: str
    probabilities: Any


@dataclass(frozen=True, eq=False)
class BatteryRun(_Other):
    """What a battery leaves of the behaviour."""

    retention: Retention


@dataclass(frozen=True, eq=False)
class PatchRun(_Other):
    """Grids by direction."""

    grids: dict[str, PatchGrid]


OtherRun = EvaluationRun | DefenceRun | GeometryRun | BatteryRun | PatchRun


def evaluation(folder: Path, manifest: dict[str, Any]) -> EvaluationRun:
    if not (folder / FILE).is_file():
        raise unfinished(folder, "evaluate")
    card = read_scorecard(folder)
    return EvaluationRun(card.name, str(folder), manifest, card)


def defences(folder: Path, manifest: dict[str, Any]) -> DefenceRun:
    value = result(folder, "gatescope.defences/1", "defend")
    where = str(folder / "result.json")
    rows = decode(tuple[Judged, ...], value["defences"], where=where)
    found = Defences(rows, value["gate"], decode(Seen | None, value["monitor"], where=where))
    return DefenceRun(_organism(manifest), str(folder), manifest, found)


def geometry(folder: Path, manifest: dict[str, Any]) -> GeometryRun:
    value = result(folder, GEOMETRY, "geometry")
    tensors = files.read_tensors(folder / ACTIVATIONS)
    return GeometryRun(
        _organism(manifest),
        str(folder),
        manifest,
        decode(GeometryReport, value["report"]),
        manifest["question"]["mapping"]["scheme"],
        tensors["probabilities"],
    )


def battery(folder: Path, manifest: dict[str, Any]) -> BatteryRun:
    value = result(folder, "gatescope.brittleness/1", "brittleness")
    found = decode(Retention, value["retention"])
    return BatteryRun(_organism(manifest), str(folder), manifest, found)


def patching(folder: Path, manifest: dict[str, Any]) -> PatchRun:
    value = result(folder, PATCH, "patch")
    grids = {way: files.read_grid(folder / f"grid-{way}") for way in value["grids"]}
    return PatchRun(folder.name, str(folder), manifest, grids)


Reader = Callable[[Path, dict[str, Any]], OtherRun]
READERS: dict[str, Reader] = {
    "evaluation": evaluation,
    "defences": defences,
    "geometry": geometry,
    "brittleness": battery,
    "patch": patching,
}


def _organism(manifest: dict[str, Any]) -> str:
    return Path(manifest["question"]["given"]["name"]).name
