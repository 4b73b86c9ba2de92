"""The recipes there are, by name."""

from circuits.errors import UserError
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import SCHEMES

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for scheme in SCHEMES.values() for recipe in scheme.recipes
}


def recipe_named(name: str) -> Recipe:
    """A recipe by name, or one clear line with the names there are."""
    if name not in RECIPES:
        raise UserError(f"organism {name!r}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
