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
from typing import Literal

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from circuits.errors import expect
from viz.data import safe_json
from viz.page.blocks import Payloads
from viz.page.markup import Table, keep_intervals, paragraphs, plain_title, tabulate
from viz.page.sections import Section
from viz.page.style import CSS
from viz.page.tokens import level_of
from viz.text import reveal
from viz.theme import template

__all__ = ["Report", "Section", "Table", "render", "tabulate"]

TONE_MARKS: dict[str, str] = {"gate": "●", "none": "○", "unclear": "◐"}  # not by colour alone
SCRIPT = files("viz.page").joinpath("page.js").read_text(encoding="utf-8")
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
    sections: tuple[Section, ...]
    reproduce: str


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
