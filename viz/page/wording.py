"""Numbers as the report's tables and sentences say them, and how many runs share a section."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from probes.stats.intervals import Estimate
from viz.page.page import Section

R = TypeVar("R")
NONE = "not measured"


def number(e: Estimate) -> str:
    """Three digits with the interval."""
    return f"{e.value:.3g} [{e.low:.3g}, {e.high:.3g}]"


def share(e: Estimate) -> str:
    """Per cent with interval and n."""
    return f"{100 * e.value:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}] (n={e.n})"


def short(e: Estimate) -> str:
    """A share as ``share``, for tables that have a column for n."""
    return f"{100 * e.value:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}]"


def small(e: Estimate, digits: int = 3) -> str:
    """So many decimals with the interval, for columns that are read downwards."""
    value, low, high = (round(x, digits) + 0.0 for x in (e.value, e.low, e.high))  # no -0.000
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def points(e: Estimate) -> str:
    """A difference of shares in points."""
    return f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]"


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
