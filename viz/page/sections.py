"""Sections of a page: text, figures, tables, coloured text, code, parts of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import plotly.graph_objects as go

from viz.page.markup import Table, paragraphs
from viz.page.tokens import TokenTrace

R = TypeVar("R")


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


def for_each(
    title: str,
    runs: Sequence[tuple[str, R]],
    make: Callable[[R], Section],
    lead: tuple[Table, ...] = (),
) -> Section:
    """One run fills the section itself; of several each gets a part under its name.

    What all of several say alike is said once, above; parts of a run's part are folded.

    Args:
        lead: tables with a row for each of several runs.
    """
    sections = {name: make(run) for name, run in runs}
    if len(runs) == 1:
        return replace(next(iter(sections.values())), title=title)
    texts = {name: paragraphs(section.prose) for name, section in sections.items()}
    first, *others = texts.values()
    common = [text for text in first if all(text in other for other in others)]
    parts = []
    for name, section in sections.items():
        own = "\n\n".join(text for text in texts[name] if text not in common)
        parts.append(_titled(name, replace(section, prose=own)))
    return Section(title, "\n\n".join(common), parts=tuple(parts), lead=lead)


def _titled(name: str, section: Section) -> Section:
    """A run's own part: its main figure is open, its parts are closed."""
    parts = tuple(
        replace(part, folded=True, data_name=f"{name}-{part.data_name or part.title}")
        for part in section.parts
    )
    stem = f"{name}-{section.data_name or section.title}"
    return replace(section, title=name, data_name=stem, parts=parts)
