"""The report's page: every chapter in the order of the commands, whatever runs were given."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.report.overview import overview
from experiments.report.reproduce import LIMITS, reproduce
from experiments.report.top import head, notes
from experiments.study import Finished, Joint
from viz.page.page import Report, Section


def page(runs: Sequence[Finished[Any]], command: str, joints: Sequence[Joint[Any]]) -> Report:
    """One page of one or several runs.

    Args:
        command: what makes this page again.
        joints: how each kind enters the page, in the order of its chapters.
    """
    top = head(runs, joints)
    first, *others = chapters(runs, joints)
    opening = replace(first, lead=(*overview(runs, joints), *first.lead))
    end = (LIMITS, reproduce(runs, command, notes(runs, joints)))
    return Report(
        title=top.title,
        verdict=top.verdict,
        headline=top.headline,
        tone=top.tone,
        facts=top.facts,
        sections=(opening, *others, *end),
        reproduce="",
    )


def chapters(runs: Sequence[Finished[Any]], joints: Sequence[Joint[Any]]) -> list[Section]:
    """Every kind's chapters, with the parts that kinds contribute to each other's.

    A chapter is the first that a run gives; what stands there for want of a run gives way to it.
    """
    given: dict[str, Section] = {}
    instead: dict[str, Section] = {}
    parts: dict[str, list[Section]] = {}
    for joint in joints:
        own = [run for run in runs if run.manifest["kind"] == joint.kind]
        for title, section in joint.beside(own, runs):
            own_parts = parts.setdefault(title, [])
            if section.title == title:
                (given if own else instead).setdefault(title, section)
            else:
                own_parts.append(section)
    bodies = {title: given.get(title) or instead[title] for title in parts}
    return [replace(body, parts=(*body.parts, *parts[title])) for title, body in bodies.items()]
