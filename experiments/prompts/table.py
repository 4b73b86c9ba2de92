"""A user's file of prompts as columns, read here and now: no cache, no copy, no server is asked.

JSON Lines, JSON, CSV and Parquet, each also packed with gzip, and folders of ``save_to_disk``.
"""

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect, first_line, reading

MOST = 200_000_000  # bytes, unpacked
TALKS = ("messages", "conversations")
COLUMNS = ("prompt", "text", "instruction", "question", *TALKS)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
csv.field_size_limit(MOST)  # a text may be longer than what the module takes for a mistake


@dataclass(frozen=True)
class Table:
    """Names of columns, and the cells of one.

    Attributes:
        written: the cells as texts, where ``column`` has made numbers of them.
    """

    names: Sequence[str]
    column: Callable[[str], Sequence[Any]]
    written: Callable[[str], Sequence[Any]] | None = None


def read_table(path: Path, split: str, of: str) -> Table:
    """The rows of a file, or of a split of a folder.

    Args:
        of: what it is called in a refusal.

    Raises:
        UserError: it is not there, too large, not in UTF-8, or not of its format.
    """
    if path.is_dir():
        return _saved(path, split, of)
    kind = Path(path.stem if path.suffix.lower() == ".gz" else path).suffix.lower()
    expect(kind in _READERS, f"one of {', '.join(_READERS)}", repr(path.suffix), of=of)
    data = _unpacked(_content(path, of), of)
    expect(data, "rows, one prompt in each", "nothing: the file is empty", of=of)
    return _READERS[kind](data, of)


def _content(path: Path, of: str) -> bytes:
    regular = path.is_file()
    expect(regular, "a file", "something else" if path.exists() else "no such file", of=of)
    with reading(of, "a file that can be read", "look at its permissions"), path.open("rb") as file:
        data = file.read(MOST + 1)
    return _limited(data, of)


def _unpacked(data: bytes, of: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    with (
        reading(of, "a whole gzip file", "pack it again"),
        gzip.GzipFile(fileobj=BytesIO(data)) as file,
    ):
        data = file.read(MOST + 1)
    return _limited(data, f"{of}, unpacked")


def _limited(data: bytes, of: str) -> bytes:
    within = len(data) <= MOST
    expect(within, f"at most {MOST // 1_000_000} MB", "more", "give a part of it", of)
    return data


def _text(data: bytes, of: str) -> str:
    """The text of a file in UTF-8, without the byte order mark that it may begin with."""
    halves = data[:2000:2].count(0), data[1:2000:2].count(0)
    if data.startswith(_UTF16) or max(halves) > len(data[:2000]) // 5:
        raise UserError(f"{of}: expected UTF-8, got what looks like UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = 1 + data.count(b"\n", 0, error.start), data[error.start]
        raise UserError(
            f"{of}, line {line}: expected UTF-8, got byte {byte:#04x}; save it as UTF-8"
        ) from error
    line = 1 + text.count("\n", 0, max(0, text.find("\0")))
    expect("\0" not in text, "text", "a NUL byte", "take it out", f"{of}, line {line}")
    return text


def _json(data: bytes, of: str) -> Table:
    """One value for all (a list of rows, or an object with one list), or a row in every line."""
    text = _text(data, of).replace("\r\n", "\n").replace("\r", "\n")
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    expect(lines, "rows, one prompt in each", "nothing: the file is blank", of=of)
    if len(lines) > 1 and text.lstrip()[0] != "[" and _is_json(lines[0][1]):
        return _of_rows([(f"line {i}", _value(line, of, i)) for i, line in lines], of)
    value = _value(text, of)
    if isinstance(value, Mapping):
        return _of_object(value, of)
    listed = isinstance(value, list)
    expect(listed, "rows", f"one value, {str(value)[:60]!r}", "write a list of objects", of)
    return _of_rows([(f"row {i}", row) for i, row in enumerate(value, 1)], of)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _value(text: str, of: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = getattr(error, "lineno", 1)
        got, why = text.split("\n")[at - 1][:60], getattr(error, "msg", first_line(error, 80))
        raise UserError(
            f"{of}: expected JSON in line {line + at - 1}, got {got!r} ({why}); write one object "
            "in each line, or a list of them"
        ) from error


def _of_object(value: Mapping[str, Any], of: str) -> Table:
    """A row, columns of texts, or what holds the only list of rows."""
    lists = {name: cells for name, cells in value.items() if isinstance(cells, list)}
    alike = len({len(cells) for cells in lists.values()}) == 1 and len(lists) == len(value)
    texts = all(isinstance(cell, str) for cells in lists.values() for cell in cells)
    if alike and texts and not any(name in TALKS for name in lists):
        return Table(list(value), lambda name: lists[name])
    if any(name in COLUMNS for name in value) or not lists:
        return _of_rows([("row 1", value)], of)
    one = len(lists) == 1
    expect(one, "one list of rows", f"several: {', '.join(lists)[:200]}", "give one of them", of)
    ((name, rows),) = lists.items()
    return _of_rows([(f"row {i} of {name}", row) for i, row in enumerate(rows, 1)], of)


def _of_rows(rows: Sequence[tuple[str, Any]], of: str) -> Table:
    """Objects, whose keys are the columns, or texts, each with where it stands in the file."""
    kind = str if rows and isinstance(rows[0][1], str) else Mapping
    wanted = "a text, as the others" if kind is str else "an object with the prompt in it"
    for where, row in rows:
        expect(isinstance(row, kind), wanted, f"{str(row)[:60]!r}", of=f"{of}, {where}")
    if kind is str:
        return Table(["text"], lambda name: [row for _, row in rows])
    names = dict.fromkeys(name for _, row in rows for name in row)
    return Table(list(names), lambda name: [row.get(name) for _, row in rows])


def _csv(data: bytes, of: str) -> Table:
    """With a header; a column of numbers alone is one of numbers."""
    reader = csv.reader(StringIO(_text(data, of), newline=""), strict=True)
    with reading(of, "CSV", "quote texts that hold commas, quotes or line breaks"):
        numbered = [(reader.line_num, cells) for cells in reader if cells]
    (_, header), *rows = numbered or [(1, [])]
    unique = len(set(header)) == len(header)
    expect(header and unique, "a header with a name for each column", header, of=of)
    for line, cells in rows:
        expect(
            len(cells) <= len(header),
            f"at most the header's {len(header)} cells",
            f"{len(cells)}",
            "quote texts that hold commas",
            f"{of}, line {line}",
        )

    def written(name: str) -> list[Any]:
        at = header.index(name)
        return [cells[at] if at < len(cells) else None for _, cells in rows]

    return Table(header, lambda name: _numbers(written(name)), written)


def _numbers(cells: list[Any]) -> list[Any]:
    try:
        return [float(cell) if "." in cell else int(cell) for cell in cells if cell] or cells
    except ValueError:
        return cells


def _parquet(data: bytes, of: str) -> Table:
    from pyarrow import parquet  # imported late, as below

    with reading(of, "Parquet", "write it again"):
        file = parquet.ParquetFile(BytesIO(data))

    def column(name: str) -> list[Any]:
        cells, size = [], 0
        with reading(of, "Parquet", "write it again"):
            for batch in file.iter_batches(batch_size=1000, columns=[name]):
                size += batch.nbytes
                within = size <= MOST
                expect(within, f"at most {MOST // 1_000_000} MB unpacked", "more", of=of)
                cells += batch.column(0).to_pylist()
        return cells

    return Table(file.schema_arrow.names, column)


def _saved(folder: Path, split: str, of: str) -> Table:
    """A dataset, or a split of several, as ``save_to_disk`` of the datasets library writes it."""
    is_saved = any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))
    expect(
        is_saved,
        "a file, or a folder of save_to_disk",
        "a directory",
        "give one of its files, or write one with to_json",
        of,
    )
    size = sum(path.stat().st_size for path in folder.rglob("*.arrow"))
    expect(size <= MOST, f"at most {MOST // 1_000_000} MB", "more", "give a part of it", of)
    import datasets  # imported late: it takes over a second

    with reading(of, "a folder of save_to_disk", "save it again, or write it with to_json"):
        rows: Any = datasets.load_from_disk(str(folder), keep_in_memory=True)
        if isinstance(rows, datasets.DatasetDict):
            expect(split in rows, f"a --split of {', '.join(map(str, rows))}", split, of=of)
            rows = rows[split]
    return Table(rows.column_names, lambda name: rows[name])


_READERS: Mapping[str, Callable[[bytes, str], Table]] = {
    ".jsonl": _json,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
FORMATS = tuple(_READERS)
