"""Sections of a page as HTML: text, figures, tables, coloured text, code, parts of their own."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import plotly.graph_objects as go

from viz.data import is_half, layout_of, mark_of, plain, to_csv
from viz.page.drill import drill_html
from viz.page.markup import Table, code_html, e, plain_title, slug, table_html
from viz.page.tokens import TokenTrace, traces_csv, traces_html

R = TypeVar("R")
_OWN = ("meta", "template", "width")  # the page decides these itself


@dataclass(frozen=True)
class Section:
    """A numbered section of plain text (blank lines part paragraphs), figures, tables and code.

    `data_name` is the stem of the names under which its figures and numbers are downloaded; by
    default it is made from the title. `parts` follow under smaller headings, parts of parts under
    still smaller ones; a part that is `folded` is closed until a reader opens it. `lead` are
    tables that stand before the figures.
    """

    title: str
    prose: str = ""
    figures: tuple[go.Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    code: str = ""
    data_name: str = ""
    traces: tuple[TokenTrace, ...] = ()
    parts: tuple["Section", ...] = ()
    folded: bool = False
    lead: tuple[Table, ...] = ()


def missing(title: str, what: str, command: str) -> Section:
    """A section whose run was not given: one sentence, and the command that would fill it."""
    return Section(
        title,
        f"{what} is not part of this report: no such run was given. Make one, then name its "
        "directory beside the others.",
        code=command,
    )


def for_each(title: str, runs: Sequence[tuple[str, R]], make: Callable[[R], Section]) -> Section:
    """One run fills the section itself; of several each gets a part under its name.

    What all of several say alike is said once, above; parts of a run's part are folded.
    """
    made = {name: make(run) for name, run in runs}
    if len(runs) == 1:
        return replace(next(iter(made.values())), title=title)
    said = {name: _paragraphs(section) for name, section in made.items()}
    first, *others = said.values()
    common = [text for text in first if all(text in other for other in others)]
    parts = tuple(
        _titled(name, replace(section, prose="\n\n".join(p for p in said[name] if p not in common)))
        for name, section in made.items()
    )
    return Section(title, "\n\n".join(common), parts=parts)


def _paragraphs(section: Section) -> list[str]:
    return [text for text in re.split(r"\n\s*\n", section.prose) if text.strip()]


def _titled(name: str, made: Section) -> Section:
    """A run's own part: its main figure is open, its parts are closed."""
    parts = tuple(
        replace(part, folded=True, data_name=f"{name}-{part.data_name or part.title}")
        for part in made.parts
    )
    return replace(
        made, title=name, data_name=f"{name}-{made.data_name or made.title}", parts=parts
    )


class Payloads:
    """What the page's script needs, in the order of the page: figures, and other files."""

    def __init__(self) -> None:
        self.figures: list[dict[str, Any]] = []
        self.files: list[dict[str, str]] = []
        self._stems: set[str] = set()

    def stem(self, wanted: str) -> str:
        """`wanted`, or with a number where a section before has that name."""
        name, count = wanted, 2
        while name in self._stems:
            name, count = f"{wanted}-{count}", count + 1
        self._stems.add(name)
        return name


def section_html(number: int, section: Section, payloads: Payloads) -> str:
    """One numbered section; its figures and files are appended to `payloads`."""
    fallback = f"section-{number}"
    body = _content(section, payloads, fallback)
    parts = [_part(part, payloads, fallback, 3) for part in section.parts]
    head = f'<h2 id="s{number}">{e(section.title)}</h2>'
    return "\n".join(
        [f'<section data-numbered aria-labelledby="s{number}">', head, body, *parts, "</section>"]
    )


def _part(part: Section, payloads: Payloads, fallback: str, level: int) -> str:
    """A part with its own parts; its script draws what is folded once it is opened."""
    head = f"<h{level}>{e(part.title)}</h{level}>"
    body = [_content(part, payloads, fallback)]
    body += [_part(inner, payloads, fallback, min(level + 1, 6)) for inner in part.parts]
    if part.folded:
        made = [f'<details class="part"><summary>{head}</summary>', *body, "</details>"]
    else:
        made = ['<section class="part">', head, *body, "</section>"]
    return "\n".join(made)


def _content(section: Section, payloads: Payloads, fallback: str) -> str:
    stem = payloads.stem(slug(section.data_name or section.title) or fallback)
    parts = [f"<p>{e(p)}</p>" for p in re.split(r"\n\s*\n", section.prose) if p.strip()]
    parts += [table_html(table) for table in section.lead]
    if section.figures:
        parts.append(_plots(section.figures, stem, payloads))
    if section.traces:
        payloads.files.append({"name": f"{stem}-tokens", "csv": traces_csv(section.traces)})
        parts.append(traces_html(section.traces, len(payloads.files) - 1))
    parts += [table_html(table) for table in section.tables]
    if section.code:
        parts.append(code_html(section.code))
    return "\n".join(parts)


def _plots(figures: Sequence[go.Figure], stem: str, payloads: Payloads) -> str:
    halves = sum(is_half(figure) for figure in figures)
    made = ['<div class="plots">']
    for i, figure in enumerate(figures, 1):
        name = stem if len(figures) == 1 else f"{stem}-{i}"
        payloads.figures.append(_payload(figure, name))
        made.append(_figure(figure, len(payloads.figures) - 1, alone=halves == 1))
    return "\n".join([*made, "</div>"])


def _payload(figure: go.Figure, name: str) -> dict[str, Any]:
    """What the script needs of a figure; the page sets title, caption and template itself."""
    content = plain(figure.to_dict())
    layout = content.get("layout", {})
    title = layout.pop("title", None)
    for key in _OWN:
        layout.pop(key, None)
    return {
        "data": content["data"],
        "layout": layout,
        "title": title,
        "name": name,
        "half": is_half(figure),
        "csv": to_csv(figure),
        "drill": mark_of(figure, "drill"),
    }


def _figure(figure: go.Figure, index: int, alone: bool) -> str:
    layout = layout_of(figure)
    words = layout.get("title", {})
    title, subtitle = (plain_title(part.get("text")) for part in (words, words.get("subtitle", {})))
    kind = ("half alone" if alone else "half") if is_half(figure) else "full"
    height = int(layout.get("height") or 400) - 60
    buttons = "".join(
        f'<button type="button" data-act="{act}" data-figure="{index}" '
        f'aria-label="{e(f"{label}: {title}")}">{label}</button>'
        for act, label in (("csv", "data (CSV)"), ("svg", "SVG"), ("png", "PNG"))
    )
    caption = f"<strong>{e(title)}</strong>" + (f"<span>{e(subtitle)}</span>" if subtitle else "")
    drill, three = mark_of(figure, "drill"), mark_of(figure, "three")
    return (
        f'<figure class="{kind}"><figcaption>{caption}</figcaption>'
        f'<div class="plot" role="group" aria-label="{e(f"{title}. {subtitle}")}" '
        f'{"data-three " if three else ""}style="min-height:{height}px"></div>'
        f'<div class="acts">{buttons}</div>'
        f"{drill_html(drill, index, title) if drill else ''}</figure>"
    )
