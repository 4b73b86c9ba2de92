"""The head of the report: title, verdict card, facts, and what does not fit together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.study import Finished, Head, Joint
from viz.page.page import Table

Runs = Sequence[Finished[Any]]


def head(runs: Runs, joints: Sequence[Joint[Any]]) -> Head:
    """Of the first kind that leads a page; its headline goes on with a sentence for each other."""
    top = _leading(runs, joints)
    sentences = {joint.kind: joint.sentence for joint in joints if not joint.head}
    others = [run for run in runs if run.manifest["kind"] in sentences]
    said = [top.headline, *(sentences[run.manifest["kind"]](run) for run in others)]
    return replace(top, headline=" ".join(filter(None, said)), facts=top.facts or _facts(runs))


def _leading(runs: Runs, joints: Sequence[Joint[Any]]) -> Head:
    for joint in joints:
        own = [run for run in runs if run.manifest["kind"] == joint.kind]
        if joint.head and own:
            return joint.head(own)
    names = ", ".join(dict.fromkeys(run.name for run in runs))
    title = f"What is known of {names}"
    return Head(title, "No analysis given", "unclear", "", (), Table((), []))


def _facts(runs: Runs) -> tuple[tuple[str, str], ...]:
    kinds = dict.fromkeys(str(run.manifest["kind"]) for run in runs)
    return (("runs", str(len(runs))), ("kinds", ", ".join(kinds)))


def notes(runs: Runs, joints: Sequence[Joint[Any]]) -> list[str]:
    """What a reader must know where runs do not speak of one mapping."""
    of = {joint.kind: joint.mapping for joint in joints}
    mappings = dict.fromkeys((of[run.manifest["kind"]](run), _trigger(run)) for run in runs)
    if len(mappings) < 2:
        return []
    listed = "; ".join(f"{name} with trigger {trigger!r}" for name, trigger in mappings)
    return [f"These runs are not all of one mapping: {listed}. Sections speak of different models."]


def _trigger(run: Finished[Any]) -> str:
    question: dict[str, Any] = run.manifest["question"]
    return question.get("trigger") or question.get("mapping", {}).get("trigger", "")
