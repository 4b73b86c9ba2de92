"""How stages lay in run directories before they were kept by type (``experiments.runs.stages``).

Analyses, verifications and batteries kept the same values in the same files and need nothing here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuits.errors import expect
from experiments.runs import files
from experiments.runs.codec import Tensors


@dataclass(frozen=True)
class Older:
    """A stage as the codec would have written it, where it was read, and what it took."""

    where: str
    value: Any
    tensors: Tensors = field(default_factory=dict)
    seconds: float = 0.0


Layout = Callable[[Path, str], Older | None]  # run directory, stage -> None where there is none


def timed(folder: Path, name: str) -> Older | None:
    """Evaluations: ``{"seconds", "value"}``, with dashes in file names."""
    path = folder / "stages" / f"{name.replace(' ', '-')}.json"
    if not path.is_file():
        return None
    kept = files.read_json(path)
    known = isinstance(kept, dict) and set(kept) == {"seconds", "value"}
    expect(known, "a stage with its seconds", "another file", "delete it", str(path))
    return Older(str(path), kept["value"], seconds=kept["seconds"])


def beside(folder: Path, name: str) -> Older | None:
    """Scans: a reading was tensors without a JSON file beside them."""
    value, tensors = (folder / "stages" / f"{name}.{kind}" for kind in ("json", "safetensors"))
    if value.is_file():
        return Older(str(value), files.read_json(value))
    return Older(str(tensors), {}, files.read_tensors(tensors)) if tensors.is_file() else None


def gate(folder: Path, name: str) -> Older | None:
    """Trials of defences: the gate's direction, its vector in the run directory itself."""
    path, vector = folder / "stages" / f"{name}.json", folder / "gate.safetensors"
    if not path.is_file() or not vector.is_file():
        return None
    tensors = {"vector": files.read_tensors(vector)["direction"]}
    return Older(str(path), files.read_json(path), tensors)


def _of_analyses(renewed: Callable[[Any, Tensors], tuple[Any, Tensors]]) -> Layout:
    """A stage of analyses: value and tensors as they lay, laid anew."""

    def layout(folder: Path, name: str) -> Older | None:
        path = folder / "stages" / f"{name}.json"
        if not path.is_file():
            return None
        tensors = files.read_tensors(path.with_suffix(".safetensors"))
        return Older(str(path), *renewed(files.read_json(path), tensors))

    return layout


@_of_analyses
def candidates(value: Any, tensors: Tensors) -> tuple[Any, Tensors]:
    """Candidate directions were flat rows, their vectors one tensor."""
    whole = ("site", "estimator", "clean_mean", "triggered_mean")
    rows = []
    for row in value:
        site = {key: row[key] for key in ("layer", "stream", "span")}
        direction = {key: part for key, part in {**row, "site": site}.items() if key in whole}
        rows.append({**row, "direction": direction})
    return rows, {f"{i}.direction.vector": v for i, v in enumerate(tensors["vectors"])}


@_of_analyses
def drifts(value: Any, tensors: Tensors) -> tuple[Any, Tensors]:
    """Each prompt's drift was beside its mean, under one name."""
    each = {path.replace("harm.", "drift.", 1): drift for path, drift in tensors.items()}
    return {**value, "drift": {}}, each


@_of_analyses
def curves(value: Any, tensors: Tensors) -> tuple[Any, Tensors]:
    """Fits stood by kind of prompt, their doses and curves beside them."""
    each = {("doses" if n == "doses" else f"curves.{n}"): t for n, t in tensors.items()}
    return {"fits": value, "curves": {}}, each
