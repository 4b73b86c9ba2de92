"""The report as one HTML document that opens offline: text, tables, live figures, their numbers.

The page loads nothing: plotly.js is inlined once, scripts run only by their hash, and every
string given here is shown as text, as the templates escape it. `render` returns the page; writing
it is the caller's.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import plotly.graph_objects as go
from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from circuits.errors import expect
from viz.data import mark_of, safe_json, to_csv, to_plain
from viz.page.markup import (
    Table,
    keep_intervals,
    paragraphs,
    plain_title,
    slug,
    tabulate,
)
from viz.page.sections import Section
from viz.page.style import CSS
from viz.page.tokens import level_of, traces_csv
from viz.text import reveal
from viz.theme import template

__all__ = ["Report", "Section", "Table", "render", "tabulate"]

TONE_MARKS: dict[str, str] = {"gate": "●", "none": "○", "unclear": "◐"}  # not by colour alone
SCRIPT = files("viz.page").joinpath("page.js").read_text(encoding="utf-8")
_OWN = ("title", "meta", "template", "width")  # the page decides these itself
_TEMPLATES = Environment(
    loader=PackageLoader("viz.page", "."),
    autoescape=True,
    undefined=ChainableUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    paragraphs=paragraphs,
    plain_title=plain_title,
    unbroken=keep_intervals,
    visible=reveal,
    level_of=level_of,
)


@dataclass(frozen=True)
class Report:
    """A whole report: the verdict card (tone, verdict, headline, facts), then the sections.

    `reproduce` is the command that makes the report again; it gets the last section.
    """

    title: str
    verdict: str
    headline: str
    tone: Literal["gate", "none", "unclear"]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...] = ()
    reproduce: str = ""


def render(report: Report) -> str:
    """The report as a self-contained HTML page of about 5 MB, to be written as UTF-8.

    Raises:
        ValueError: an unknown tone.
    """
    expect(
        report.tone in TONE_MARKS, f"a tone of {sorted(TONE_MARKS)}", f"{report.tone!r}", "pick one"
    )
    sections = [*report.sections]
    if report.reproduce:
        sections.append(Section("Reproduce", code=report.reproduce))
    payloads = Payloads()
    blocks = [payloads.block(section, f"section-{i}") for i, section in enumerate(sections, 1)]
    themes = {name: template(name == "dark").to_plotly_json() for name in ("light", "dark")}
    data = {"templates": themes, "figures": payloads.figures, "files": payloads.files}
    scripts = [_text(script) for script in (get_plotlyjs(), SCRIPT)]
    return _text(
        _TEMPLATES.get_template("page.html.j2").render(
            report=report,
            mark=TONE_MARKS[report.tone],
            blocks=blocks,
            figures=payloads.figures,
            policy=_policy(scripts),
            style=Markup(CSS),
            data=Markup(safe_json(data)),
            scripts=[Markup(script) for script in scripts],
        )
    )


def _policy(scripts: Sequence[str]) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    sources = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _text(text: str) -> str:
    """As a browser will read it: LF line ends (the hashes depend on it), no lone surrogates."""
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Block:
    """A section with the numbers of its figures and of its traces' CSV among the payloads.

    `alone`: whether just one of the figures needs but half the page's width.
    """

    section: Section
    figures: tuple[int, ...]
    alone: bool
    file: int
    parts: tuple["Block", ...]


class Payloads:
    """What the page's script needs, in the order of the page: figures, and other files."""

    def __init__(self) -> None:
        self.figures: list[dict[str, Any]] = []
        self.files: list[dict[str, str]] = []
        self._stems: set[str] = set()

    def block(self, section: Section, fallback: str) -> Block:
        """The section's block; its figures and files are appended, then those of its parts."""
        stem = self._stem(slug(section.data_name or section.title) or fallback)
        first, several = len(self.figures), len(section.figures) > 1
        for i, figure in enumerate(section.figures, 1):
            self.figures.append(_payload(figure, f"{stem}-{i}" if several else stem))
        if section.traces:
            self.files.append({"name": f"{stem}-tokens", "csv": traces_csv(section.traces)})
        return Block(
            section,
            tuple(range(first, len(self.figures))),
            sum(bool(mark_of(figure, "half")) for figure in section.figures) == 1,
            len(self.files) - 1,
            tuple(self.block(part, fallback) for part in section.parts),
        )

    def _stem(self, wanted: str) -> str:
        """`wanted`, or with a number where a section before has that name."""
        name, count = wanted, 2
        while name in self._stems:
            name, count = f"{wanted}-{count}", count + 1
        self._stems.add(name)
        return name


def _payload(figure: go.Figure, name: str) -> dict[str, Any]:
    """A figure with its numbers, as the script and the templates read it."""
    content = to_plain(figure.to_dict())
    layout = content.get("layout", {})
    return {
        "data": content["data"],
        "layout": {key: value for key, value in layout.items() if key not in _OWN},
        "title": layout.get("title"),
        "name": name,
        "half": bool(mark_of(figure, "half")),
        "three": bool(mark_of(figure, "three")),
        "csv": to_csv(figure),
        "drill": mark_of(figure, "drill"),
    }
