"""The report's page: head, first tables, and every chapter in the order of the commands."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.report.reproduce import LIMITS, reproduce
from experiments.study import Finished, Joint, with_prompts
from viz.page.page import Report, Section, Table

Runs = Sequence[Finished[Any]]
Joints = Sequence[Joint[Any]]


def page(runs: Runs, command: str, joints: Joints) -> Report:
    """One page of one or several runs.

    Args:
        command: what makes this page again.
        joints: how each kind enters the page, in the order of its chapters.
    """
    first, *others = chapters(runs, joints)
    opening = replace(first, lead=(*overview(runs, joints), *first.lead))
    end = (LIMITS, reproduce(runs, command, notes(runs, joints)))
    whole = replace(head(runs, joints), sections=(opening, *others, *end))
    return with_prompts(whole, {f"{run.kind} of {run.name}": run.prompt for run in runs})


def chapters(runs: Runs, joints: Joints) -> list[Section]:
    """Every kind's chapters, with the parts that kinds contribute to each other's.

    A chapter is the first that a run gives; what stands there for want of a run gives way to it.
    """
    given: dict[str, Section] = {}
    instead: dict[str, Section] = {}
    parts: dict[str, list[Section]] = {}
    for joint in joints:
        own = joint.own(runs)
        for title, section in joint.beside(own, runs):
            own_parts = parts.setdefault(title, [])
            if section.title == title:
                (given if own else instead).setdefault(title, section)
            else:
                own_parts.append(section)
    bodies = {title: given.get(title) or instead[title] for title in parts}
    return [replace(body, parts=(*body.parts, *parts[title])) for title, body in bodies.items()]


def leading(runs: Runs, joints: Joints) -> list[tuple[Report, Table]]:
    """What the kinds that lead a page make of their runs."""
    return [joint.head(own) for joint in joints if joint.head and (own := joint.own(runs))]


def following(runs: Runs, joints: Joints) -> list[tuple[Finished[Any], Joint[Any]]]:
    """Every run of a kind that leads no page, with how it enters one, in the order given."""
    others = {joint.kind: joint for joint in joints if not joint.head}
    return [(run, others[run.kind]) for run in runs if run.kind in others]


def head(runs: Runs, joints: Joints) -> Report:
    """Of the first kind that leads a page; its headline goes on with a sentence for each other."""
    title = f"What is known of {', '.join(dict.fromkeys(run.name for run in runs))}"
    unled = Report(title, "No analysis given", headline="", tone="unclear", facts=())
    top = next((report for report, _ in leading(runs, joints)), unled)
    sentences = [joint.sentence(run) for run, joint in following(runs, joints)]
    kinds = ", ".join(dict.fromkeys(run.kind for run in runs))
    facts = top.facts or (("runs", str(len(runs))), ("kinds", kinds))
    return replace(top, headline=" ".join(filter(None, [top.headline, *sentences])), facts=facts)


def overview(runs: Runs, joints: Joints) -> tuple[Table, ...]:
    """Kinds that lead the page in tables of their own, then every other run; none for one run."""
    if len(runs) < 2:
        return ()
    tables = [table for _, table in leading(runs, joints)]
    header = ("kind", "of", "outcome", "key figures, with 95% intervals")
    rows = [(run.kind, run.name, *joint.outcome(run)) for run, joint in following(runs, joints)]
    if rows:
        tables.append(Table(header, rows, "every other run" if tables else "every run"))
    return tuple(tables)


def notes(runs: Runs, joints: Joints) -> list[str]:
    """What a reader must know where runs do not speak of one mapping."""
    of = {joint.kind: joint.mapping for joint in joints}
    mappings = dict.fromkeys((of[run.kind](run), _trigger(run)) for run in runs)
    if len(mappings) < 2:
        return []
    listed = "; ".join(f"{name} with trigger {trigger!r}" for name, trigger in mappings)
    return [f"These runs are not all of one mapping: {listed}. Sections speak of different models."]


def _trigger(run: Finished[Any]) -> str:
    question: dict[str, Any] = run.manifest["question"]
    mapping = question.get("mapping")
    inner = mapping.get("trigger") if isinstance(mapping, dict) else ""
    return str(question.get("trigger") or inner or "")
