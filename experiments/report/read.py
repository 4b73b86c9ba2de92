"""Run directories as a report reads them: each is told by its manifest's kind."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect, quoted, reading
from circuits.rendered import Part
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.runs.read import manifest
from experiments.study import PROMPT, Finished, Joint


def read_runs(folders: Sequence[Path], joints: Sequence[Joint[Any]]) -> list[Finished[Any]]:
    """Every directory, in the order given; runs of one name are told apart by their folders.

    Raises:
        UserError: a directory that is no run, is not finished, or is of a kind or schema that a
            report does not know; or one that is given twice.
    """
    expect(folders, "at least one run directory", "none", of="report")
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UserError(f"{folder}: expected every run once, got it twice; name it once")
    runs = [_read(folder, joints) for folder in folders]
    runs = _told_apart(runs, [f"{run.name} ({Path(run.folder).name})" for run in runs])
    return _told_apart(runs, [f"{run.name} ({run.folder})" for run in runs])


def _told_apart(runs: list[Finished[Any]], longer: Sequence[str]) -> list[Finished[Any]]:
    """Runs of one kind and one name get the longer of their names."""
    names = [(run.kind, run.name) for run in runs]
    return [
        replace(run, name=other) if names.count(name) > 1 else run
        for run, name, other in zip(runs, names, longer, strict=True)
    ]


def _read(folder: Path, joints: Sequence[Joint[Any]]) -> Finished[Any]:
    about = manifest(folder)
    readers = {joint.kind: joint.read for joint in joints}
    if about["kind"] not in readers:
        raise UserError(
            f"{folder}: expected a run of kind {', '.join(readers)}, got {quoted(about['kind'])}; "
            "a report has no section for it, its own report.html has"
        )
    with reading(str(folder), "a whole run", "make it again, or restore its files"):
        return replace(readers[about["kind"]](folder, about), prompt=_prompt(folder))


def _prompt(folder: Path) -> tuple[Part, ...]:
    """A run's first prompt as the model reads it; none of runs from before it was kept."""
    ledger = Ledger(folder)
    if not ledger.lists(PROMPT):
        return ()
    return decode(tuple[Part, ...], ledger.json(PROMPT), where=str(folder / PROMPT))
