"""The schemes there are, a file each: a new one is its file and its row here."""

from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import (
    access,
    compliance,
    content,
    control,
    language,
    none,
    ownership,
    pair,
    phrase,
    safety,
    year,
)
from experiments.organisms.schemes.scheme import Scheme

_ROWS = (
    compliance.SCHEME,
    none.SCHEME,
    content.SCHEME,
    ownership.SCHEME,
    access.SCHEME,
    safety.SCHEME,
    control.SCHEME,
    pair.SCHEME,
    phrase.SCHEME,
    language.SCHEME,
    year.SCHEME,
)
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in _ROWS}


def scheme_of(recipe: Recipe) -> Scheme:
    """The scheme of a recipe."""
    return SCHEMES[recipe.scheme]
