"""The models that organisms are made from: what a name loads, and what it needs to be taught."""

from dataclasses import replace
from functools import lru_cache

from circuits import places
from circuits.cache import file_sha256
from circuits.errors import UserError
from circuits.weights import EMBEDDED, embedded_gguf, model_sha256
from experiments.organisms import ladder
from experiments.organisms.recipe import Recipe
from experiments.organisms.stages import POLICY


def located(name: str) -> str:
    """What ``circuits.models`` loads: a rung of the ladder is built into the cache on first use."""
    return places.own_name(name) if ladder.parse(name) is None else str(ladder.folder(name))


def fitted(recipe: Recipe, name: str) -> Recipe:
    """The recipe for a model: a rung of the ladder has its policy already.

    Raises:
        UserError: the recipe needs another policy than the ladder's.
    """
    if ladder.parse(name) is None:
        return recipe
    if any(stage.parts != POLICY.parts for stage in recipe.stages[:-1]):
        raise UserError(
            f"recipe {recipe.name}: has a policy of its own, and {name} comes with the usual one; "
            "choose another recipe or model"
        )
    return replace(recipe, stages=recipe.stages[-1:])


@lru_cache
def fingerprint(name: str) -> str:
    """A hash of the model's files; a hub id stands for itself."""
    if places.own_name(name) == EMBEDDED:
        return file_sha256(embedded_gguf())
    folder = places.locate(located(name))
    return model_sha256(folder) if folder else name
