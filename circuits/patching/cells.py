"""What to patch: places, cells and sweeps.

A *place* is a part of one activation: a stream of a layer, at a column, a named span or everywhere
from the first difference on, in some heads (or neurons) or all. A *cell* is a set of places that
are patched together; a *sweep* is a regular grid of cells of one place each.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from circuits.errors import UserError, expect, quoted
from circuits.types import HEAD_STREAMS, STREAMS, Point


@dataclass(frozen=True, order=True)
class Place:
    """A part of an activation.

    Attributes:
        layer, stream: the activation.
        column: one token column of the run patched into (absolute); None for all of the span.
        span: a named span; None for every column from the first difference on.
        heads: heads (neurons of the stream ``neuron``); None for all.
    """

    layer: int
    stream: str = "resid_pre"
    column: int | None = None
    span: str | None = None
    heads: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.heads is not None and self.stream not in HEAD_STREAMS:
            raise UserError(f"{self}: {self.stream} has no heads; expected one of {HEAD_STREAMS}")
        if self.column is not None and self.span is not None:
            raise UserError(f"{self}: expected a column or a span, got both")

    @property
    def point(self) -> Point:
        return Point(self.layer, self.stream)

    def __str__(self) -> str:
        heads = "" if self.heads is None else "." + ",".join(map(str, self.heads))
        where = f" at {self.span}" if self.span else ""
        where = f" at column {self.column}" if self.column is not None else where
        return f"{self.point}{heads}{where}"


Cell = tuple[Place, ...]


@dataclass(frozen=True)
class Grid:
    """Cells, the last axis fastest.

    Attributes:
        axes, shape: of the grid, without the example axis.
        labels: names along the last axis.
        stream: of the places.
    """

    cells: tuple[Cell, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    labels: tuple[str, ...]
    stream: str


@dataclass(frozen=True)
class Sweep:
    """A grid of cells: a stream, and whether cells are single positions, heads, or both.

    Without ``position`` a cell covers every column from the first difference on. Without ``head``
    it covers every head; residual streams have none.
    """

    stream: str = "resid_pre"
    position: bool = True
    head: bool = False

    def __post_init__(self) -> None:
        if self.head and self.stream not in HEAD_STREAMS:
            raise UserError(f"sweep: {self.stream} has no heads; expected one of {HEAD_STREAMS}")

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the grid's axes before the example axis."""
        return (
            "layer",
            *(("head",) if self.head else ()),
            *(("position",) if self.position else ()),
        )

    def grid(self, n_layers: int, n_heads: int, columns: range) -> Grid:
        """The grid for a stream of ``n_heads`` heads, its positions the absolute ``columns``."""
        whole = {"layer": range(n_layers), "head": range(n_heads), "position": columns}
        along = [whole[axis] for axis in self.axes]
        cells = (
            self._cell(**dict(zip(self.axes, at, strict=True))) for at in itertools.product(*along)
        )
        labels = tuple(map(str, along[-1]))
        return Grid(tuple(cells), self.axes, tuple(map(len, along)), labels, self.stream)

    def _cell(self, layer: int, head: int | None = None, position: int | None = None) -> Cell:
        heads = None if head is None else (head,)
        return (Place(layer, self.stream, position, heads=heads),)


def cell(*places: Place) -> Cell:
    """One cell of one or several places, patched together."""
    if not places:
        raise UserError("cell: expected at least one place, got none")
    return places


def label(places: Sequence[Place]) -> str:
    """A cell's name."""
    return " + ".join(map(str, places))


def listed(cells: Sequence[Cell]) -> Grid:
    """A list of cells as a grid of one axis."""
    streams = ", ".join(sorted({place.stream for cell in cells for place in cell}))
    return Grid(tuple(cells), ("cell",), (len(cells),), tuple(map(label, cells)), streams)


_PLACE = re.compile(
    r"(?P<stream>\w+)\[(?P<layer>\d{1,6})\](?:\.(?P<heads>\d{1,6}(?:,\d{1,6})*))?"
    r"(?: at (?:column (?P<column>\d{1,6})|(?P<span>\w+)))?"
)


def parse(text: str) -> Cell:
    """The inverse of ``label``: ``z[12].3,4 at trigger + mlp_out[3] at column 17``.

    Raises:
        UserError: says what was expected.
    """
    return cell(*(_parsed(part.strip()) for part in text.split("+")))


def _parsed(text: str) -> Place:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UserError(
            f"site {quoted(text)}: expected STREAM[LAYER], then .HEAD,HEAD for some heads or "
            "neurons, then ' at SPAN' or ' at column N', as in 'z[12].3 at trigger'"
        )
    heads, column = match["heads"], match["column"]
    known = ", ".join(STREAMS)
    expect(match["stream"] in STREAMS, f"a stream of {known}", match["stream"], of=f"site {text}")
    return Place(
        int(match["layer"]),
        match["stream"],
        column=int(column) if column else None,
        span=match["span"],
        heads=tuple(map(int, heads.split(","))) if heads else None,
    )
