"""What of a sweep's store is as it was written: its cells, tables, and the files beside them."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.runs import foreign
from experiments.runs.files import read_json
from experiments.runs.locks import LOCK, scratch_of
from experiments.runs.whole import FileState, Wholeness, readable
from experiments.sweep.engine.grid import digest
from experiments.sweep.engine.run import SCHEMAS
from experiments.sweep.engine.store import read_record


def wholeness(folder: Path) -> Wholeness | None:
    """Look at a store, or at one sweep's directory in it; None where it is neither.

    Raises:
        UserError: the manifest is no JSON.
    """
    if (folder / "cells").is_dir():
        sweeps = sorted(path.parent for path in folder.glob("sweeps/*/manifest.json"))
        states = [*_cells(folder), *(s for sweep in sweeps for s in _sweep(sweep, folder, folder))]
        beside = (path for path in folder.iterdir() if path.is_file() and path.name != LOCK)
        return _whole(folder, "sweep store", sweeps, [*states, *_others(beside, folder, ())])
    if _manifest(folder).get("schema") not in SCHEMAS:
        return None
    return _whole(folder, "sweep", [folder], _sweep(folder, folder, folder.resolve().parents[1]))


def _whole(folder: Path, kind: str, sweeps: list[Path], states: Iterable[FileState]) -> Wholeness:
    """Of sweeps' directories: one that is complete and lists no files is from before they did."""
    about = [_manifest(sweep) for sweep in sweeps]
    finished = bool(about) and all(each.get("complete") for each in about)
    hashes = all(each.get("files") is not None or not each.get("complete") for each in about)
    return Wholeness(str(folder), kind, hashes, finished, tuple(states))


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _cells(folder: Path) -> Iterator[FileState]:
    for path in sorted((folder / "cells").iterdir()):
        name = f"cells/{path.name}"
        if path.name.endswith(".damaged"):
            yield FileState(name, "unfinished", "set aside as damaged; measured again")
        elif scratch_of(path.name):
            yield FileState(name, "unfinished", "of a killed sweep, and never read")
        elif path.suffix != ".json":
            yield FileState(name, "foreign", f"{path}: not written by a sweep, and never read")
        else:
            try:
                read_record(path)
                yield FileState(name, "whole")
            except UserError as error:
                yield FileState(name, "damaged", str(error))


def _sweep(folder: Path, top: Path, store: Path) -> Iterator[FileState]:
    """One sweep's files, named from the top, and the cells of its table that the store lacks."""
    about, stem = _manifest(folder), folder.relative_to(top)
    listed = about.get("files")
    known: dict[str, Any] = listed if isinstance(listed, dict) else {}
    yield _own(folder / "manifest.json", about, (stem / "manifest.json").as_posix())
    table = {"table.parquet": about["table_sha256"]} if about.get("table_sha256") else {}
    for name, sha256 in {**known, **table}.items():
        path, here = folder / name, (stem / name).as_posix()
        if not path.is_file():
            yield FileState(here, "missing", f"{path}: it is missing; run the sweep again")
        elif hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            yield FileState(here, "whole")
            yield from _lacking(path, store) if name == "table.parquet" else ()
        else:
            line = f"{path}: expected what the sweep wrote, got other content; run it again"
            yield FileState(here, "damaged", line)
    own = {*known, *table, "manifest.json"}
    rest = (path for path in folder.iterdir() if path.name not in own)
    yield from _others(rest, top, own if known else None)


def _own(path: Path, about: dict[str, Any], here: str) -> FileState:
    """The manifest, which holds its own hash if its sweep has ended."""
    content = {name: value for name, value in about.items() if name != "sha256"}
    if "sha256" not in about:
        return FileState(here, "unhashed")
    if about["sha256"] == digest(content):
        return FileState(here, "whole")
    line = f"{path}: expected what the sweep wrote, got other content; run it again"
    return FileState(here, "damaged", line)


def _lacking(table: Path, store: Path) -> Iterator[FileState]:
    """Cells that a table has a row of and its store no file; a table alone has no store."""
    if (store / "cells").is_dir():
        for key in foreign.parse_table(table.read_bytes(), table, ["cell"])["cell"]:
            path = store / "cells" / f"{key}.json"
            if not path.is_file():
                line = f"{path}: it is missing; run the sweep again"
                yield FileState(f"cells/{path.name}", "missing", line)


def _others(paths: Iterable[Path], top: Path, known: Iterable[str] | None) -> Iterator[FileState]:
    """What no list has; ``known``: the names that are written there, None where none was kept."""
    for path in sorted(paths):
        here, begun = path.relative_to(top).as_posix(), scratch_of(path.name)
        if known is None:
            yield readable(path, here)
        elif begun and begun in known:
            yield FileState(here, "unfinished", "of a killed sweep, and never read")
        else:
            yield FileState(here, "foreign", f"{path}: not written by a sweep, and never read")
