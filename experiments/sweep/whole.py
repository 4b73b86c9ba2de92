"""What of a sweep's store is as it was written: its cells, tables, and the files beside them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.runs.files import read_json
from experiments.runs.whole import FileState, Wholeness
from experiments.sweep.engine.run import SCHEMAS
from experiments.sweep.engine.store import read_record


def wholeness(folder: Path) -> Wholeness | None:
    """Look at a store, or at one sweep's directory in it; None where it is neither.

    Raises:
        UserError: the manifest is no JSON.
    """
    if (folder / "cells").is_dir():
        sweeps = sorted(path.parent for path in folder.glob("sweeps/*/manifest.json"))
        states = [*_cells(folder), *(s for sweep in sweeps for s in _sweep(sweep, folder))]
        finished = bool(sweeps) and all(_manifest(s).get("complete") for s in sweeps)
        return Wholeness(str(folder), "sweep store", True, finished, tuple(states))
    about = _manifest(folder)
    if about.get("schema") not in SCHEMAS:
        return None
    hashes, complete = about.get("files") is not None, bool(about.get("complete"))
    return Wholeness(str(folder), "sweep", hashes, complete, tuple(_sweep(folder, folder)))


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _cells(folder: Path) -> Iterator[FileState]:
    for path in sorted((folder / "cells").iterdir()):
        name = f"cells/{path.name}"
        if path.name.endswith(".damaged"):
            yield FileState(name, "unfinished", "set aside as damaged; measured again")
        elif path.suffix != ".json":
            yield FileState(name, "foreign", f"{path}: not written by a sweep, and never read")
        else:
            try:
                read_record(path)
                yield FileState(name, "whole")
            except UserError as error:
                yield FileState(name, "damaged", str(error))


def _sweep(folder: Path, top: Path) -> Iterator[FileState]:
    about, stem = _manifest(folder), folder.relative_to(top)
    listed = about.get("files")
    known: dict[str, Any] = listed if isinstance(listed, dict) else {}
    yield FileState((stem / "manifest.json").as_posix(), "whole" if known else "unhashed")
    table = {"table.parquet": about["table_sha256"]} if about.get("table_sha256") else {}
    for name, digest in {**known, **table}.items():
        path, here = folder / name, (stem / name).as_posix()
        if not path.is_file():
            yield FileState(here, "missing", f"{path}: it is missing; run the sweep again")
        elif hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            yield FileState(here, "whole")
        else:
            line = f"{path}: expected what the sweep wrote, got other content; run it again"
            yield FileState(here, "damaged", line)
    rest = (p.name for p in folder.iterdir() if p.name not in {*known, *table, "manifest.json"})
    for name in sorted(rest):
        path = folder / name
        foreign = FileState((stem / name).as_posix(), "foreign", f"{path}: in no list")
        unhashed = FileState((stem / name).as_posix(), "unhashed")
        yield foreign if known else unhashed
