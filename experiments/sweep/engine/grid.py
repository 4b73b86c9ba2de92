"""A sweep's grid: one YAML file of axes, and the cells that are its product.

A file may hold several documents (``---`` between them): their products are taken one after the
other, a cell that is in two of them once.

A cell's name is the hash of what it is: its values, and a salt of what the values stand for (hashes
of models and data, the version of the code that measures). Neither the file's order nor its other
cells enter, so that sweeps which overlap share their results.
"""

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect, quoted
from experiments.runs.documents import read_documents

Value = str | int | float | bool
Axes = dict[str, tuple[Value, ...]]
Salt = Mapping[str, Any] | Callable[[Mapping[str, Value]], Mapping[str, Any]]
_WORDS: dict[type, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_AXES = "axes with values ('seed: [0, 1]')"
_MEASURE = "measure"  # no axis: what the cells are measured for
_MOST = 100_000  # cells of a grid
_LARGEST = 2**63 - 1  # of a table's whole numbers


@dataclass(frozen=True)
class Axis:
    """What may stand on an axis.

    Attributes:
        kind: ``str``, ``int``, ``float`` or ``bool``.
        default: values where the file does not name the axis; None if it must.
        choices: the only values allowed; None allows all.
        least: the smallest number allowed.
    """

    kind: type
    default: tuple[Value, ...] | None = None
    choices: tuple[Value, ...] | None = None
    least: float | None = None


@dataclass(frozen=True)
class Grid:
    """Axes with their values: the file's in its order, then the defaults in the schema's.

    Attributes:
        name: the file's, without its ending.
        blocks: the axes of each document; all have the same axes.

    Raises:
        UserError: more cells than are measured in years; they are counted, not built.
    """

    name: str
    blocks: tuple[Axes, ...]

    def __post_init__(self) -> None:
        count = sum(math.prod(map(len, block.values())) for block in self.blocks)
        advice = "give fewer values, or several files"
        expect(
            count <= _MOST, f"at most {_MOST:,} cells", f"{count:,}", advice, f"sweep {self.name}"
        )

    @property
    def varying(self) -> tuple[str, ...]:
        """Axes of more than one value: what tells cells apart."""
        names, blocks = self.blocks[0], self.blocks
        return tuple(n for n in names if len({v for block in blocks for v in block[n]}) > 1)


@dataclass(frozen=True)
class Cell:
    """One point of a grid. ``key`` is 24 hexadecimal digits, the hash of values and salt."""

    key: str
    values: dict[str, Value]
    salt: dict[str, Any]


def cells(grid: Grid, salt: Salt) -> tuple[Cell, ...]:
    """All cells in the file's order, the last axis running fastest.

    ``salt`` is one mapping (JSON) for all cells, or a function from a cell's values to its own: a
    cell's salt should name no model that only other cells use, or it will not be shared.
    """
    every = [_cell(values, salt) for block in grid.blocks for values in _points(block)]
    return tuple({cell.key: cell for cell in every}.values())


def _points(block: Axes) -> list[dict[str, Value]]:
    points = itertools.product(*block.values())
    return [dict(zip(block, point, strict=True)) for point in points]


def _cell(values: dict[str, Value], salt: Salt) -> Cell:
    own = json.loads(canonical(salt(values) if callable(salt) else salt))  # as it is read back
    return Cell(cell_key(values, own), values, own)


def cell_key(values: Mapping[str, Value], salt: Mapping[str, Any]) -> str:
    """The name of a cell's results."""
    return digest({"values": dict(values), "salt": dict(salt)})[:24]


def digest(value: Any) -> str:
    """The hash of a JSON value, by ``canonical``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON in which equal values have equal texts: sorted names, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_measure(path: Path) -> str:
    """What a file's cells are measured for: its ``measure``, said in the first document."""
    first = _documents(path)[0]
    return str(first.get(_MEASURE, "budget")) if isinstance(first, dict) else "budget"


def read_grid(path: Path, schema: Mapping[str, Axis]) -> Grid:
    """Read YAML mappings, one or more, from axes to a value or a list of values.

    Raises:
        UserError: no file, no YAML, an axis that is unknown, missing, named twice, or empty, a
            value of the wrong type, out of range, or given twice.
    """
    documents = _documents(path)
    if any(isinstance(axes, dict) and _MEASURE in axes for axes in documents[1:]):
        raise UserError(f"{path}: {_MEASURE}: expected in the first document only; remove it")
    return Grid(path.stem, tuple(_block(path, axes, schema) for axes in documents))


def _documents(path: Path) -> list[Any]:
    documents = read_documents(path, str(path), "a YAML file of axes")
    expect(documents, _AXES, "an empty file", of=str(path))
    return documents


def _block(path: Path, axes: Any, schema: Mapping[str, Axis]) -> Axes:
    expect(isinstance(axes, dict), _AXES, quoted(axes), of=str(path))
    defaults = {name: axis.default for name, axis in schema.items()}
    given = {name: values for name, values in axes.items() if name != _MEASURE}
    for name in {**given, **schema}:
        if name not in schema:
            raise UserError(f"{path}: {name}: expected one of {', '.join(schema)}; remove it")
        if name not in given and defaults[name] is None:
            raise UserError(f"{path}: {name}: expected values of this axis, it is missing; add it")
    stated = {n: _axis(f"{path}: {n}", values, schema[n]) for n, values in given.items()}
    return {**stated, **{n: values for n, values in defaults.items() if values and n not in given}}


def _axis(where: str, given: Any, axis: Axis) -> tuple[Value, ...]:
    listed = given if isinstance(given, list) else [given]
    expect(listed, "at least one value", "an empty list", of=where)
    values = tuple(_value(where, value, axis) for value in listed)
    for value, times in Counter(values).items():
        expect(times == 1, "different values", f"{value!r} twice", of=where)
    return values


def _value(where: str, given: Any, axis: Axis) -> Value:
    value = given
    if axis.kind is float and type(given) is int:
        value = float(given)  # 1 and 1.0 are one cell
    expect(type(value) is axis.kind, _WORDS[axis.kind], quoted(given), _advice(given, axis), where)
    if isinstance(value, float):
        value += 0.0  # and so are 0.0 and -0.0
    choices = axis.choices or (value,)
    for wanted, holds in {
        "a finite number": not isinstance(value, float) or math.isfinite(value),
        f"at most {_LARGEST}": axis.kind is not int or abs(value) <= _LARGEST,
        f"at least {axis.least}": axis.least is None or value >= axis.least,
        f"one of {', '.join(map(str, choices))}": value in choices,
    }.items():
        expect(holds, wanted, quoted(given), of=where)
    return value


def _advice(given: Any, axis: Axis) -> str:
    if axis.kind is float and isinstance(given, str):
        return "YAML takes 1e-3 for text, write 1.0e-3"
    if axis.kind is str:
        return "put it in quotes"
    return "write one value or a flat list"
