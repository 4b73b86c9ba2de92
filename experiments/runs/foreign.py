"""Files that a user names, or that lie where a user points: read whole, or refused in one line.

JSON, tensors and tables. They may be cut, of another program, or written to do harm, and readers
raise anything; so what is read here is of the type that is said, or a ``UserError`` names the file.
"""

import json
import math
from collections.abc import Container, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load
from torch import Tensor

from circuits.errors import expect, reading

_LARGEST = 2**28  # bytes of a JSON file; the largest that is written here has a few million
_RENEW = "write it again, or name another"


def read_json(path: Path) -> Any:
    """The value of a JSON file, which has no NaN and no infinity.

    Raises:
        UserError: no such file, or no JSON.
    """
    with reading(str(path), "a JSON file", _RENEW):
        _require_file(path, "a JSON file")
        size = path.stat().st_size
        expect(size <= _LARGEST, f"at most {_LARGEST:,} bytes", f"{size:,}", of=str(path))
        return parse_json(path.read_bytes(), path)


def parse_json(content: bytes, where: Path) -> Any:
    """The same of a file's bytes."""
    with reading(str(where), "a JSON file", _RENEW):
        return json.loads(content.decode(), parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]}, which is no number of JSON")
    return value


def read_object(path: Path) -> dict[str, Any]:
    """The fields of a JSON file's object.

    Raises:
        UserError: no such file, no JSON, or another value than an object.
    """
    value = read_json(path)
    kind = type(value).__name__
    expect(isinstance(value, dict), "a JSON object", f"a {kind}", _RENEW, str(path))
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name.

    Raises:
        UserError: no such file, or no safetensors.
    """
    return parse_tensors(_content(path, "safetensors file"), path)


def parse_tensors(content: bytes, path: Path, names: Iterable[str] = ()) -> dict[str, Tensor]:
    """The same of a file's bytes.

    Args:
        names: tensors that it must have.

    Raises:
        UserError: no safetensors, or a tensor is missing.
    """
    with reading(str(path), "a whole safetensors file", _RENEW):
        tensors = load(content)
    _require("tensors", names, tensors, path)
    return tensors


def read_table(path: Path) -> pd.DataFrame:
    """A Parquet table.

    Raises:
        UserError: no such file, or no Parquet.
    """
    return parse_table(_content(path, "Parquet table"), path)


def parse_table(content: bytes, path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """The same of a file's bytes.

    Args:
        columns: that it must have.

    Raises:
        UserError: no Parquet, a column is missing, or there are two of one name.
    """
    with reading(str(path), "a whole Parquet table", _RENEW):
        table = pd.read_parquet(BytesIO(content))
    there = list(map(str, table.columns))
    _require("columns", columns, there, path)
    expect(len({*there}) == len(there), "different columns", "one twice", _RENEW, str(path))
    return table


def _content(path: Path, kind: str) -> bytes:
    with reading(str(path), f"a whole {kind}", _RENEW):
        _require_file(path, f"a {kind}")
        return path.read_bytes()


def _require(what: str, names: Iterable[str], there: Container[str], path: Path) -> None:
    missing = [name for name in names if name not in there]
    expect(not missing, f"all its {what}", f"none named {', '.join(missing)}", _RENEW, str(path))


def _require_file(path: Path, what: str) -> None:
    """Also keeps from waiting for a pipe."""
    got = "a directory" if path.is_dir() else "no such file"
    expect(path.is_file(), what, got, "check the path", str(path))
