"""What a battery is asked."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from experiments.battery.battery import Plan
from experiments.checks import checked
from experiments.organisms.organism import Given
from experiments.prompts.held_out import OwnPrompts
from experiments.runs.codec import as_json


@dataclass(frozen=True)
class BrittlenessQuestion:
    """What a battery is asked: the organism, and how much of everything.

    Attributes:
        texts: what the prompts are made of; a manifest has their hash.
    """

    given: Given
    plan: Plan = field(default_factory=Plan)
    texts: Annotated[
        OwnPrompts,
        {
            "on_topic": typer.Option(
                "--prompts", help="Your prompts of the gate's topic: JSONL, CSV, ..."
            )
        },
    ] = field(default_factory=OwnPrompts)

    def __post_init__(self) -> None:
        checked(self)

    def recorded(self) -> dict[str, Any]:
        """What manifest and result have of it."""
        return {"given": as_json(self.given), "plan": as_json(self.plan)}
