"""The app's words for states, edits and layers."""

from typing import Any

from circuits.types import Direction
from experiments.serve.subject import Subject
from experiments.serve.worker import State


def status_words(state: State[Any]) -> str:
    """A job's status line."""
    words = {
        "idle": "",
        "waiting": "waiting for the model …",
        "running": "working …",
        "done": "done",
        "cancelled": "cancelled",
    }
    return state.message if state.status == "failed" else words[state.status]


def layer_words(subject: Subject, direction: Direction) -> str:
    """A layer's direction: where and how it was fitted, and what its scores are."""
    words = f"{direction.site} ({direction.estimator})"
    candidate = subject.layers.get(direction.site.layer)
    if candidate is not None:
        words += (
            f": shutting takes away {candidate.necessity:.2f} of the trigger's effect, adding the "
            f"shift without it gives {candidate.sufficiency:.2f} (validation, n = {candidate.n})"
        )
    if direction is subject.direction:
        return words + (". The gate that the analysis proved." if subject.proven else ".")
    return words + ". Not the chosen gate: put to no proof."


def edit_words(coefficient: Any, opened: Any, layer: Any, has_gate: bool) -> str:
    """What the second answer's edit is."""
    if not has_gate:
        return "no gate known: the same answer"
    value = float(1 if coefficient is None else coefficient)
    named = {0.0: "gate shut", 1.0: "component kept"}
    words = named.get(value, f"component × {value:g}") + (", shift added" if opened else "")
    if value == 1 and not opened:
        return "nothing edited: the same answer"
    return f"{words} at layer {layer}"
