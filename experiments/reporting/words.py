"""Numbers as the report's tables and sentences say them, and how many runs share a section."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from probes.intervals import Estimate
from viz.report import Section

R = TypeVar("R")


def number(e: Estimate) -> str:
    """Three digits with the interval."""
    return f"{e.value:.3g} [{e.low:.3g}, {e.high:.3g}]"


def share(e: Estimate) -> str:
    """Per cent with interval and n."""
    return f"{100 * e.value:.0f}% [{100 * e.low:.0f}, {100 * e.high:.0f}] (n={e.n})"


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
    """One run fills the section itself; of several each gets a part under its name."""
    if len(runs) == 1:
        made = make(runs[0][1])
        return Section(
            title, made.prose, made.figures, made.tables, made.code, made.data_name, made.traces,
            made.parts,
        )  # fmt: skip
    return Section(title, parts=tuple(_titled(name, make(run)) for name, run in runs))


def _titled(name: str, made: Section) -> Section:
    """A run's own part; what was a part of it follows in the same one."""
    figures, tables, traces, prose = made.figures, made.tables, made.traces, [made.prose]
    for part in made.parts:
        figures, tables, traces = (
            figures + part.figures, tables + part.tables, traces + part.traces,
        )  # fmt: skip
        prose.append(part.prose)
    text = "\n\n".join(p for p in prose if p)
    return Section(name, text, figures, tables, made.code, made.data_name or name, traces)
