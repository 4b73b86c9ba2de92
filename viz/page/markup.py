"""What the page's templates show of text: tables with the kinds of their columns, names, titles."""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from markupsafe import Markup, escape

R = TypeVar("R")
_LONG = 40  # characters from which a cell is a sentence that needs room
_BRIEF = 18  # up to which a cell stays on its line: names break at hyphens otherwise
_NUMERAL = 200  # up to which a cell may be a number, with its interval and what is in brackets
_MANY = 7  # columns that need all the room there is
_INTERVAL = re.compile(r"\[[-+\u2212\d.,e% ]{1,40}\]")
_NUMBER = re.compile(
    r"^[<>=~≈≤≥+\-\u2212]?\s*\d[\d.,]*\s*(%|[eE][+-]?\d+)?(\s*\[.*\])?(\s*\(.*\))?$"
)


@dataclass(frozen=True)
class Table:
    """A table of text cells; columns whose cells are all numbers are set flush right.

    `folded`, if given, is what a closed disclosure says before the table is opened.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: str = ""

    @cached_property
    def kinds(self) -> list[str]:
        """The class of every column: numbers, sentences, brief words, or none of them."""
        kinds = [_kind(cells) for cells in zip(*self.rows, strict=False)]
        return kinds + [""] * (len(self.header) - len(kinds))

    @property
    def many(self) -> bool:
        return len(self.header) >= _MANY

    @property
    def name(self) -> str:
        """What the table is called where it has no caption either."""
        return self.caption or self.folded or f"Table: {', '.join(filter(None, self.header))}"


def tabulate(
    records: Iterable[R],
    columns: Mapping[str, Callable[[R], str]],
    caption: str = "",
    folded: str = "",
) -> Table:
    """A row for every record, a column for every function of it, under the column's name."""
    rows = [tuple(cell(record) for cell in columns.values()) for record in records]
    return Table(tuple(columns), rows, caption, folded)


def _kind(cells: Sequence[str]) -> str:
    if all(_is_number(str(cell).strip()) for cell in cells):
        return "num"
    most = max(len(str(cell)) for cell in cells)
    return "long" if most > _LONG else "brief" if most <= _BRIEF else ""


def _is_number(cell: str) -> bool:
    """Whether a cell is a number or nothing; long ones are not looked through: they are text."""
    return not cell or (len(cell) <= _NUMERAL and _NUMBER.match(cell) is not None)


def keep_intervals(text: object) -> Markup:
    """A cell's text, escaped; an interval is never broken, but may go below its value."""
    return Markup(_INTERVAL.sub(r'<span class="interval">\g<0></span>', str(escape(text))))


def paragraphs(text: str) -> list[str]:
    """The parts of a text between blank lines."""
    return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def slug(text: str) -> str:
    """A lower-case ASCII file stem: words joined by hyphens, at most 60 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def plain_title(text: str | None) -> str:
    """A plotly title as plain text: its tags dropped, its entities resolved."""
    return html.unescape(re.sub(r"</?\w[^<>]*>", " ", text or "")).strip()
