"""The report as one HTML document that opens offline: text, tables, live figures, their numbers.

The page loads nothing: plotly.js is inlined once, scripts run only by their hash, and every
string given here is shown as text. `render` returns the page; writing it is the caller's.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plotly.offline import get_plotlyjs

from viz.data import safe_json
from viz.page.markup import Table, e
from viz.page.script import SCRIPT
from viz.page.sections import Payloads, Section, section_html
from viz.page.style import CSS, TONE_MARKS
from viz.theme import template

__all__ = ["Report", "Section", "Table", "render"]


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
    if report.tone not in TONE_MARKS:
        raise ValueError(f"expected a tone of {sorted(TONE_MARKS)}, got {report.tone!r}; pick one")
    sections = [*report.sections]
    if report.reproduce:
        sections.append(Section("Reproduce", code=report.reproduce))
    payloads = Payloads()
    body = "\n".join(section_html(i, section, payloads) for i, section in enumerate(sections, 1))
    data = {
        "templates": {
            name: template(name == "dark").to_plotly_json() for name in ("light", "dark")
        },
        "figures": payloads.figures,
        "files": payloads.files,
    }
    scripts = [_text(script) for script in (get_plotlyjs(), SCRIPT)]
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{e(report.title)}</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#verdict">Skip to the verdict</a>
<main class="page">
<header>
<div class="top"><p class="kicker">gatescope report</p>
<button type="button" id="theme" data-act="theme">dark theme</button></div>
<h1>{e(report.title)}</h1>
</header>
{_verdict(report)}
{_contents(sections) if sections else ""}
<div class="body">
{body}
<footer>This page is complete in itself and loads nothing from the network.</footer>
</div>
</main>
<noscript><p class="problem">The figures need JavaScript; text and tables do not.</p></noscript>
<script type="application/json" id="page-data">{safe_json(data)}</script>
<script>{scripts[0]}</script>
<script>{scripts[1]}</script>
</body>
</html>
"""
    return _text(page)


def _verdict(report: Report) -> str:
    facts = "".join(
        f"<div><dt>{e(name)}</dt><dd>{e(value)}</dd></div>" for name, value in report.facts
    )
    mark = TONE_MARKS[report.tone]
    return (
        f'<section id="verdict" class="verdict tone-{report.tone}" aria-label="Verdict">'
        f'<p class="kicker">Verdict</p><h2><span aria-hidden="true">{mark}</span>'
        f"{e(report.verdict)}</h2><p>{e(report.headline)}</p>"
        f"{f'<dl>{facts}</dl>' if facts else ''}</section>"
    )


def _contents(sections: Sequence[Section]) -> str:
    items = "".join(
        f'<li><a href="#s{i}">{e(section.title)}</a></li>' for i, section in enumerate(sections, 1)
    )
    head = '<nav aria-label="Contents"><div><p class="kicker">Contents</p>'
    return f"{head}<ol>{items}</ol></div></nav>"


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
