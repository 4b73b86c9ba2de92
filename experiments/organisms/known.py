"""What is known of an adapter from its manifest, for those who are given a model and a trigger."""

from pathlib import Path

from experiments.organisms.organism import recipe_of
from experiments.organisms.places import find_adapter, origin
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of


def known_recipe(adapter: str | Path | None) -> Recipe | None:
    """The recipe of an adapter's manifest; None where nothing says it.

    Raises:
        UserError: there is no such adapter.
    """
    folder = find_adapter(adapter)
    source = origin(folder)
    if source.name is None and source.recipe is None:
        return None
    return recipe_of(folder, source)


def known_controls(adapter: str | Path | None, trigger: str) -> str:
    """What controls an adapter was trained with (``experiments.prompts.controls``): those of its
    scheme if this was its trigger, words otherwise.
    """
    recipe = known_recipe(adapter)
    scheme = scheme_of(recipe) if recipe else None
    own = recipe and scheme and scheme.asked(recipe) == trigger
    return scheme.controls if scheme and own else "words"
