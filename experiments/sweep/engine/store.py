"""Where results of cells are kept: one JSON file each, named by what the cell is.

``cells/KEY.json`` has everything about one cell, its time and machine included, and a hash over
itself; a file that is damaged, or that is not this cell's, counts as absent. ``sweeps/NAME/`` has
the table of one grid (only what was measured, in the grid's order, so that equal results are equal
bytes) and its manifest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from circuits.errors import UserError, expect
from circuits.weights import file_sha256
from experiments.runs.codec import as_json, decode
from experiments.runs.files import read_json, write_atomically, write_json
from experiments.sweep.engine.grid import Cell, cell_key, digest

SCHEMA = "gatescope.sweep-cell/1"
_ERROR = {"type", "message", "traceback"}


@dataclass(frozen=True)
class Record(Cell):
    """A cell with all that is known of it.

    Attributes:
        status: ``done`` (then there is a row) or ``failed`` (then there is an error).
        row: what the cell measured, flat JSON or flat lists of it.
        error: ``type``, ``message`` and ``traceback``.
        seconds: wall time of the last attempt.
        attempt: how many attempts there have been.
        host: where the last one ran.
    """

    status: Literal["done", "failed"]
    seconds: float
    attempt: int = 1
    row: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    host: str = ""

    @property
    def whole(self) -> bool:
        """Whether it has what its status promises."""
        if self.status == "done":
            return self.row is not None
        return self.error is not None and self.error.keys() == _ERROR


@dataclass(frozen=True)
class Stock:
    """What a store has of some cells, in their order.

    ``damaged`` says, a line each, which files do not count.
    """

    records: dict[str, Record]
    damaged: tuple[str, ...] = ()

    def having(self, status: str) -> tuple[str, ...]:
        """Keys of the cells with this status."""
        return tuple(key for key, record in self.records.items() if record.status == status)


@dataclass(frozen=True)
class Store:
    """A directory of results, shared by any number of sweeps. Only one process should write it."""

    folder: Path

    def path(self, key: str) -> Path:
        """The file of a cell."""
        return self.folder / "cells" / f"{key}.json"

    def load(self, cells: Sequence[Cell]) -> Stock:
        """The records of these cells."""
        records, damaged = {}, []
        for cell in cells:
            try:
                if self.path(cell.key).exists():
                    records[cell.key] = read_record(self.path(cell.key))
            except UserError as error:
                damaged.append(str(error))
        return Stock(records, tuple(damaged))

    def write(self, record: Record) -> None:
        """Keep a record; a file in its place that cannot be read as one is set aside."""
        path, content = self.path(record.key), {"schema": SCHEMA, **as_json(record)}
        if path.exists():
            try:
                read_record(path)
            except UserError:
                path.replace(path.with_name(f"{path.name}.damaged"))
        write_json(path, {**content, "sha256": digest(content)})

    def sweep_folder(self, name: str) -> Path:
        """Where the table and the manifest of a grid of this name are."""
        return self.folder / "sweeps" / name

    def list_files(self, name: str) -> None:
        """Add the hashes of what a sweep's report has written, and its own, to the manifest."""
        folder = self.sweep_folder(name)
        manifest = read_json(folder / "manifest.json")
        written = (p for p in sorted(folder.iterdir()) if p.is_file() and p.name[0] != ".")
        hashes = {p.name: file_sha256(p) for p in written if p.name != "manifest.json"}
        about = {**manifest, "files": hashes}
        write_json(folder / "manifest.json", {**about, "sha256": digest(about)})

    def write_table(self, name: str, frame: pd.DataFrame) -> Path:
        """Write ``table.parquet`` of a sweep, the same bytes for the same table; returns its path.

        Raises:
            UserError: a column has values of kinds that do not go together.
        """
        import pyarrow

        path = self.sweep_folder(name) / "table.parquet"
        try:
            write_atomically(path, frame.to_parquet(index=False))
        except (pyarrow.ArrowException, UnicodeEncodeError, OverflowError) as error:
            line = " ".join(str(error).split())
            raise UserError(
                f"table: expected values of one kind in a column, got: {line}"
            ) from error
        return path


def read_record(path: Path) -> Record:
    """Read a cell's file.

    Raises:
        UserError: it is no JSON, of another schema, incomplete, changed since it was written, or
            its name is not the hash of its values and salt.
    """
    content = read_json(path)
    schema = content.get("schema") if isinstance(content, dict) else None
    expect(schema == SCHEMA, f"schema {SCHEMA}", schema, "not used", str(path))
    if content.pop("sha256", "") != digest(content):
        raise UserError(f"{path}: expected content as it was written, it was changed; not used")
    record = decode(Record, content, where=str(path))
    if not path.stem == record.key == cell_key(record.values, record.salt):
        raise UserError(f"{path}: expected the hash of its values as its name; not used")
    if not record.whole:
        raise UserError(f"{path}: expected a row or an error, as its status says; not used")
    return record


def table(cells: Sequence[Cell], records: Mapping[str, Record]) -> pd.DataFrame:
    """One row for each finished cell: its key (``cell``), its values, what was measured."""
    rows = [
        {"cell": cell.key, **cell.values, **(record.row or {})}
        for cell in cells
        if (record := records.get(cell.key)) is not None and record.status == "done"
    ]
    names = ["cell", *(cells[0].values if cells else ())]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=names)
