"""Finished runs, written by hand: as commands find them that read what another has measured."""

from pathlib import Path
from typing import Any

from torch import Tensor

from experiments.runs import files
from experiments.runs.read import ANALYSIS

GATE = {
    "layer": 1,
    "stream": "resid_pre",
    "span": "last",
    "estimator": "lda",
    "clean_mean": 0.5,
    "triggered_mean": 2.0,
}


def manifest(folder: Path, kind: str = "analysis", **changes: Any) -> Path:
    """A run directory of a kind that has not got further than its manifest."""
    value = {
        "schema": files.SCHEMA,
        "kind": kind,
        "question": {},
        "command": "gatescope x",
        "versions": {},
    }
    files.write_json(folder / "manifest.json", {**value, **changes})
    return folder


def analysis(folder: Path, asked: dict[str, Any], vector: Tensor | None, **changes: Any) -> Path:
    """A finished analysis; without a vector it chose no gate.

    Args:
        asked: the question, the manifest's hashes included.
    """
    manifest(folder, question=asked)
    result = {
        "schema": ANALYSIS,
        "question": asked,
        "verdict": "no gate" if vector is None else "gate",
        "headline": "A headline.",
        "gate": None if vector is None else GATE,
    }
    files.write_json(folder / "result.json", {**result, **changes})
    if vector is not None:
        files.write_tensors(folder / "gate.safetensors", {"direction": vector}, {})
    return folder
