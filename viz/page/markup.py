"""Pieces of the page's HTML. All text that goes in is escaped; no raw HTML is accepted."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

_LONG = 40  # characters from which a cell is a sentence that needs room
_BRIEF = 18  # up to which a cell stays on its line: names break at hyphens otherwise
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


def e(text: str) -> str:
    """`text` escaped for HTML content and quoted attributes."""
    return html.escape(text, quote=True)


def table_html(table: Table) -> str:
    """A table in a box of its own that scrolls sideways and takes the keyboard focus.

    The box is a group, not a landmark: a page has dozens of tables, many without a caption.
    """
    kinds = [_kind(cells) for cells in zip(*table.rows, strict=False)]
    kinds += [""] * (len(table.header) - len(kinds))
    head = "".join(_head(name, kind) for name, kind in zip(table.header, kinds, strict=False))
    rows = "".join(
        f"<tr>{''.join(f'<td{kinds[i]}>{_cell(cell)}</td>' for i, cell in enumerate(cells))}</tr>"
        for cells in table.rows
    )
    caption = f"<caption>{e(table.caption)}</caption>" if table.caption else ""
    many = ' class="many"' if len(table.header) >= _MANY else ""
    name = table.caption or table.folded or f"Table: {', '.join(filter(None, table.header))}"
    made = (
        f'<div class="wide" role="group" tabindex="0" aria-label="{e(name)}">'
        f"<table{many}>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    if not table.folded:
        return made
    return f"<details><summary>{e(table.folded)}</summary>{made}</details>"


def _kind(cells: Sequence[str]) -> str:
    """The class of a column: numbers, sentences, or neither."""
    if all(_NUMBER.match(str(cell).strip() or "0") for cell in cells):
        return ' class="num"'
    most = max(len(str(cell)) for cell in cells)
    return ' class="long"' if most > _LONG else ' class="brief"' if most <= _BRIEF else ""


def _head(name: str, kind: str) -> str:
    """A column's name; a column that needs none gets no header cell that says nothing."""
    return f'<th scope="col"{kind}>{e(name)}</th>' if name.strip() else f"<td{kind}></td>"


def _cell(text: str) -> str:
    """A cell's text; an interval is never broken, but may go below its value."""
    return _INTERVAL.sub(r'<span class="interval">\g<0></span>', e(str(text)))


def code_html(code: str) -> str:
    """Code with a button that copies it."""
    return (
        f'<div class="code"><pre tabindex="0">{e(code)}</pre>'
        '<button type="button" data-act="copy" aria-live="polite">copy</button></div>'
    )


def slug(text: str) -> str:
    """A lower-case ASCII file stem: words joined by hyphens, at most 60 characters."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def plain_title(text: str | None) -> str:
    """A plotly title as plain text: its tags dropped, its entities resolved."""
    return html.unescape(re.sub(r"</?\w[^<>]*>", " ", text or "")).strip()
