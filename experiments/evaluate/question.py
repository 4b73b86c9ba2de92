"""What an evaluation is asked."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.errors import expect
from circuits.search import SearchPlan
from circuits.templates import AS_IT_IS
from circuits.weights import EMBEDDED
from experiments.checks import MOST, checked
from experiments.options import Written, name_models
from experiments.organisms.organism import Given
from experiments.runs.codec import as_json

FEWEST = 4  # prompts of every kind


@dataclass(frozen=True)
class EvaluateQuestion:
    """What an evaluation is asked.

    Attributes:
        mapping: an organism, or a YAML file about a mapping.
        count: prompts of every kind.
        budget, free: passes and free tokens of the adaptive searches.
        task: of lm-eval, and ``limit`` their questions.
        sweep: a sweep's table, for what one organism cannot say; "" for none.
        profile: the profile of the verdict; "" for the one that fits the scheme.
        require: a second profile, whose verdict a pipeline rests on; "" for none.
        rendering: how chats are written.

    Raises:
        UserError: too few prompts, a search too small.
    """

    mapping: Annotated[
        str, typer.Argument(help="Shipped organism, adapter or model directory, or a YAML file.")
    ]
    profile: Annotated[
        str, typer.Option(help="access, ownership, safety or a YAML file; by default as it fits.")
    ] = ""
    require: Annotated[
        str, typer.Option(help="Profile that must be passed: otherwise the status is 1.")
    ] = ""
    count: Annotated[int, typer.Option(help="Prompts of every kind.")] = 40
    budget: Annotated[int, typer.Option(help="Passes of each adaptive search.")] = 60
    free: Annotated[int, typer.Option(help="Free tokens of the searches, 1 to 3.")] = 2
    seed: Annotated[int, typer.Option(help="Of samples, searches, typos and training.")] = 0
    model: Annotated[str, typer.Option(help="What an adapter was trained on.")] = EMBEDDED
    task: Annotated[
        tuple[str, ...], typer.Option(help="A task of lm-eval, where it is installed.")
    ] = ()
    limit: Annotated[int, typer.Option(help="Questions of every such task.")] = 100
    sweep: Annotated[
        str, typer.Option(help="A sweep's table (Parquet), for poisons to reach 95%.")
    ] = ""
    rendering: Written = AS_IT_IS

    def __post_init__(self) -> None:
        name_models(self, "model")
        checked(self, "mapping", "model", count=(FEWEST, MOST), limit=(1, MOST))
        there = not self.sweep or Path(self.sweep).is_file()
        expect(there, "a sweep's table (Parquet)", "no such file", of=f"--sweep {self.sweep}")
        _ = self.given, self.search

    @cached_property
    def given(self) -> Given:
        """What the user names."""
        return Given(self.mapping, self.model, rendering=self.rendering)

    @cached_property
    def search(self) -> SearchPlan:
        """How much is searched."""
        return SearchPlan(self.free, budget=self.budget, seed=self.seed)

    def recorded(self) -> dict[str, Any]:
        """What a manifest has of it: profiles judge, and are no part of what is measured."""
        names = ("count", "seed", "search", "limit", "sweep")
        # As manifests had it when a file's own words stood here; now they have the file's hash.
        about = {"given": self.given, "base": "", "prompts": "", "other_prompts": ""}
        asked = {name: getattr(self, name) for name in names}
        return as_json({"about": about, **asked, "tasks": self.task})
