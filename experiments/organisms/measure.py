"""Measure a trained directory and keep the figures in its manifest."""

from pathlib import Path

from circuits.answers import Progress
from circuits.weights import EMBEDDED, directory_sha256
from experiments.organisms import agreement, bases, requirements
from experiments.organisms.figures import Condition, answered, judged, own_knowledge
from experiments.organisms.organism import load_model
from experiments.organisms.recipe import Recipe
from experiments.runs import files
from experiments.runs.codec import as_json


def evaluate_saved(
    folder: Path, recipe: Recipe, progress: Progress, model: str = EMBEDDED
) -> list[Condition]:
    """Measure an adapter, or a whole model, and add to its manifest what was found.

    ``figures`` are the conditions, ``definition`` the scheme's requirements on them, and
    ``agreement`` says how far the rule judge and the probability judge agree.
    """
    organism = load_model(folder, model)
    said = answered(organism, recipe, progress)
    figures = [c for a in said for c in judged(*a)]
    agreed = agreement.with_probabilities(organism, recipe, said)
    figures += own_knowledge(bases.located(model), recipe, progress)
    manifest = files.read_json(folder / "manifest.json")
    manifest["figures"] = as_json(figures)
    manifest["definition"] = as_json(requirements.judge(recipe, figures))
    manifest["agreement"] = agreement.agreement_json(agreed)
    manifest["adapter_sha256"] = directory_sha256(folder)
    files.write_json(folder / "manifest.json", manifest)
    return figures
