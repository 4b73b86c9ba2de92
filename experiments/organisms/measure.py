"""Measure a trained directory, and keep the figures in its manifest."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from circuits.weights import EMBEDDED, directory_sha256
from experiments.judges.grades import Grader
from experiments.organisms import bases
from experiments.organisms.agreement import agreement_json, with_grader, with_probabilities
from experiments.organisms.figures import (
    Condition,
    Judged,
    answered,
    conditions,
    judge,
    own_knowledge,
)
from experiments.organisms.organism import load_model
from experiments.organisms.recipe import Recipe
from experiments.runs import files
from experiments.runs.codec import as_json
from probes.stats.agreement import Agreement

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measured:
    """What an organism is found to be.

    Attributes:
        figures: of every condition.
        definition: the scheme's requirements on them.
        agreement: of the rule judge with the probability judge; ``second``, with another model.
    """

    figures: list[Condition]
    definition: list[Judged]
    agreement: Agreement | None
    second: Agreement | None

    @property
    def stated(self) -> dict[str, object]:
        """As a manifest has it."""
        return {
            "figures": as_json(self.figures),
            "definition": as_json(self.definition),
            "agreement": agreement_json(self.agreement),
        }


def measure(
    folder: Path | None,
    recipe: Recipe,
    step: Step,
    model: str = EMBEDDED,
    second: Grader | None = None,
) -> Measured:
    """Measure an adapter, a whole model, or none on the base model, as what its recipe makes.

    Args:
        model: what an adapter was trained on.
        second: another judge of refusals.
    """
    organism = load_model(folder, model)
    answers = answered(organism, recipe, lambda done, total: step("measure", done, total))
    agreement = with_probabilities(organism, recipe, answers)
    before = own_knowledge(
        bases.located(model), recipe, lambda done, total: step("base model", done, total)
    )
    figures = [figure for each in answers for figure in conditions(*each)] + before
    beside = with_grader(second, answers) if second else None
    return Measured(figures, judge(recipe, figures), agreement, beside)


def keep(folder: Path, measured: Measured) -> None:
    """Add to a directory's manifest what was found."""
    manifest = files.read_json(folder / "manifest.json")
    digest = {"adapter_sha256": directory_sha256(folder)}
    files.write_json(folder / "manifest.json", {**manifest, **measured.stated, **digest})
