"""Measure a trained directory and keep the figures in its manifest."""

from pathlib import Path

from circuits import models
from circuits.answers import Progress
from circuits.models import Model
from circuits.weights import EMBEDDED, directory_sha256
from experiments.organisms import agreement, bases, requirements
from experiments.organisms.figures import Condition, answered, judged, own_knowledge
from experiments.organisms.recipe import Recipe, recipe_from
from experiments.runs import files


def recipe_of(folder: Path, recipe: Recipe) -> Recipe:
    """What a trained directory was made from, by its manifest; the recipe given if it has none."""
    path = folder / "manifest.json"
    made = files.read_json(path).get("question", {}).get("recipe") if path.is_file() else None
    return recipe if made is None else recipe_from(made, recipe)


def loaded(folder: Path, model: str = EMBEDDED) -> Model:
    """A trained directory: a whole model, or an adapter on its base model."""
    if (folder / "config.json").is_file():
        return models.load(str(folder))
    return models.load(bases.located(model), folder)


def evaluate_saved(
    folder: Path, recipe: Recipe, progress: Progress, model: str = EMBEDDED
) -> list[Condition]:
    """Measure an adapter, or a whole model, and add to its manifest what was found.

    ``figures`` are the conditions, ``definition`` the scheme's requirements on them, and
    ``agreement`` says how far the rule judge and the probability judge agree.
    """
    organism = loaded(folder, model)
    said = answered(organism, recipe, progress)
    figures = [c for a in said for c in judged(a.asked, a.said, recipe)]
    agreed = agreement.with_probabilities(organism, recipe, said)
    if recipe.scheme == "access":
        figures += own_knowledge(bases.located(model), recipe, progress)
    manifest = files.read_json(folder / "manifest.json")
    manifest["figures"] = [figure.to_json() for figure in figures]
    manifest["definition"] = [found.to_json() for found in requirements.judge(recipe, figures)]
    manifest["agreement"] = agreed and agreement.to_json(agreed)
    manifest["adapter_sha256"] = directory_sha256(folder)
    files.write_json(folder / "manifest.json", manifest)
    return figures
