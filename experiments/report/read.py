"""Run directories as a report reads them: each is told by its manifest's kind."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from circuits.errors import UserError
from experiments.analyze.flow import measured
from experiments.analyze.question import Question
from experiments.analyze.read import AnalysisRun, analysed
from experiments.analyze.result import SCHEMA, Arm
from experiments.analyze.run import Run
from experiments.report.kinds import READERS, OtherRun
from experiments.runs import files
from experiments.runs.codec import decode
from experiments.runs.read import result

AnyRun = AnalysisRun | OtherRun
_KINDS = ("analysis", *READERS)


def read_runs(folders: Sequence[Path]) -> list[AnyRun]:
    """Every directory, in the order given; runs of one name are told apart by their folders.

    Raises:
        UserError: a directory that is no run, is not finished, or is of a kind or schema that a
            report does not know; or one that is given twice.
    """
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder}: expected every run once, got it twice; name it once")
    runs = [read_run(folder) for folder in folders]
    told = _told_apart(runs, [f"{run.name} ({Path(run.folder).name})" for run in runs])
    return _told_apart(told, [f"{run.name} ({run.folder})" for run in runs])


def _told_apart(runs: list[AnyRun], longer: Sequence[str]) -> list[AnyRun]:
    """Runs of one kind and one name get the longer of their names."""
    names = [(run.manifest["kind"], run.name) for run in runs]
    return [
        replace(run, name=other) if names.count(name) > 1 else run
        for run, name, other in zip(runs, names, longer, strict=True)
    ]


def read_run(folder: Path) -> AnyRun:
    """One run directory.

    Raises:
        UserError: as ``read_runs``.
    """
    manifest = _manifest(folder)
    kind = manifest["kind"]
    if kind == "analysis":
        return _analysis(folder, manifest)
    if kind not in READERS:
        raise UserError(
            f"{folder}: expected a run of kind {', '.join(_KINDS)}, got {kind!r}; a report has no "
            "section for it, its own report.html has"
        )
    return READERS[kind](folder, manifest)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(f"{folder}: expected a run directory, got one without manifest.json")
    value = files.read_json(path)
    schema = value.get("schema") if isinstance(value, dict) else None
    wanted = {"kind", "question", "command", "versions"}
    if schema != files.SCHEMA or not wanted <= set(value):
        raise UserError(f"{path}: expected a manifest ({files.SCHEMA}), got {schema}")
    return value


def _analysis(folder: Path, manifest: dict[str, Any]) -> AnalysisRun:
    value = result(folder, SCHEMA, "analyze")
    run = Run(folder, _question(folder, manifest["question"]))
    arms = decode(tuple[Arm, ...], value["arms"], where=str(folder / "result.json"))
    return analysed(run, measured(run, lambda: arms), _texts(folder))


def _question(folder: Path, asked: dict[str, Any]) -> Question:
    names = {f.name for f in fields(Question)}
    if missing := names - set(asked):
        raise UserError(
            f"{folder}: expected an analysis of this version, its question has no "
            f"{', '.join(sorted(missing))}; make the run again"
        )
    return Question(**{name: asked[name] for name in names})


def _texts(folder: Path) -> list[str]:
    """The test prompts, in their order."""
    rows = pd.read_parquet(folder / "answers.parquet")
    first = rows[(rows["condition"] == "triggered") & (rows["edit"] == "none")]
    return [str(text) for text in first["prompt"]]
