"""Rows of several fields: a list that stands in a file, or a table beside that file."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from circuits.errors import expect, quoted
from circuits.visible import visible
from experiments.prompts.table import read_table
from experiments.runs.terminal import tell

Row = tuple[str, Mapping[str, Any]]  # where it stands, and its fields


def read_rows(source: Any, folder: Path, fields: Collection[str], of: str) -> list[Row]:
    """The rows of a list of mappings, or of a file of ``experiments.prompts.table``.

    Fields that a list has besides are a mistake; columns that a file has besides are told.

    Args:
        source: a list, or a file's name in ``folder``.
        fields: what a row may have.

    Raises:
        UserError: neither list nor file, no rows, a row or field of another kind.
    """
    if isinstance(source, str):
        return _of_file(folder / source, fields, f"{of} {source}")
    expect(isinstance(source, list) and source, "a list or a file's name", quoted(source), of=of)
    rows = [(f"{of}, row {i}", row) for i, row in enumerate(source, 1)]
    for where, row in rows:
        expect(isinstance(row, dict), f"fields {', '.join(fields)}", quoted(row), of=where)
        unknown = ", ".join(str(name) for name in row if name not in fields)
        expect(not unknown, f"fields of {', '.join(fields)}", unknown, of=where)
    return rows


def _of_file(path: Path, fields: Collection[str], of: str) -> list[Row]:
    table = read_table(path, "train", of)
    known = [name for name in table.names if name in fields]
    expect(known, f"columns of {', '.join(fields)}", list(table.names), "name them so", of)
    if unused := [str(name) for name in table.names if name not in fields]:
        tell(f"{of}: columns not used: {', '.join(unused)}")
    columns = [(table.written or table.column)(name) for name in known]
    rows = (dict(zip(known, cells, strict=True)) for cells in zip(*columns, strict=True))
    return [(f"{of}, row {i}", row) for i, row in enumerate(rows, 1)]


def text_in(row: Mapping[str, Any], name: str, of: str) -> str:
    """A field's text without outer blanks; "" where it is not there or blank.

    Raises:
        UserError: it is no text.
    """
    value = row.get(name)
    if value is None:
        return ""
    whole = isinstance(value, int) and not isinstance(value, bool)  # 1.50 is no longer what it was
    expect(whole or isinstance(value, str), "a text", quoted(value), "quote it", f"{of}, {name}")
    text = str(value).strip()
    plain = "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
    expect(plain, "text", ascii(text[:60]), "mend the row", f"{of}, {name}")
    return text if visible(text) else ""


def texts_in(row: Mapping[str, Any], name: str, of: str) -> tuple[str, ...]:
    """A field's texts: one, or a list of them (in a cell of CSV as JSON); blank ones left out.

    Raises:
        UserError: one of them is no text.
    """
    value = row.get(name)
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    each = value if isinstance(value, list) else [value]
    return tuple(filter(None, (text_in({name: one}, name, of) for one in each)))
