"""Pieces of the page's HTML. All text that goes in is escaped; no raw HTML is accepted."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

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
    """A table in a box of its own that scrolls sideways and takes the keyboard focus."""
    columns = list(zip(*table.rows, strict=False))
    classes = [
        ' class="num"' if cells and all(_NUMBER.match(str(c).strip() or "0") for c in cells) else ""
        for cells in columns
    ]
    classes += [""] * (len(table.header) - len(classes))

    def row(tag: str, cells: Sequence[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{scope}{classes[i] if i < len(classes) else ''}>{e(str(cell))}</{tag}>"
            for i, cell in enumerate(cells)
        )

    caption = f"<caption>{e(table.caption)}</caption>" if table.caption else ""
    rows = "".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    name = table.caption or table.folded or "Table"
    made = (
        f'<div class="wide" role="region" tabindex="0" aria-label="{e(name)}">'
        f"<table>{caption}<thead><tr>{row('th', table.header)}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
    if not table.folded:
        return made
    return f"<details><summary>{e(table.folded)}</summary>{made}</details>"


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
