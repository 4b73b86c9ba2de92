"""An organism as a user names it: a shipped one, a directory, or a model with words about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from circuits.errors import UserError
from circuits.weights import EMBEDDED
from experiments.organisms import bases
from experiments.organisms.recipe import REFUSAL, Recipe, Scheme
from experiments.organisms.shelf import find_adapter
from experiments.organisms.specimen import Specimen, stored
from experiments.organisms.training import Settings
from experiments.runs import files


@dataclass(frozen=True)
class Given:
    """What a user says of an organism.

    Attributes:
        name: a shipped organism, a directory of an adapter or a whole model, or ``none`` for the
            model as it is.
        model: what an adapter was trained on.
        scheme, trigger, behaviour, refusal: what it does, if its manifest does not say; all empty
            where it does.
    """

    name: str
    model: str = EMBEDDED
    scheme: str = ""
    trigger: str = ""
    behaviour: str = ""
    refusal: str = ""


def specimen(given: Given) -> Specimen:
    """The organism in hand.

    Raises:
        UserError: there is no such organism, or what it does is said by half.
    """
    recipe = _described(given)
    folder = find_adapter(given.name)
    if folder is not None and recipe is not None and _says(folder):
        raise UserError(
            f"organism {given.name}: its manifest says what it was trained to do; "
            "leave out --scheme, --trigger and --behaviour"
        )
    if folder is not None:
        return stored(folder, given.model, recipe)
    if recipe is None:
        raise UserError(
            "organism none: expected --scheme, --trigger and --behaviour, which say "
            "what the model is thought to do"
        )
    return Specimen(recipe, bases.located(given.model), Settings(rank=0), {})


def _says(folder: Path) -> bool:
    """Whether a trained directory's manifest has its recipe."""
    path = folder / "manifest.json"
    return path.is_file() and "recipe" in files.read_json(path).get("question", {})


def _described(given: Given) -> Recipe | None:
    """A recipe without training, for a mapping that was not made here."""
    said = {n: getattr(given, n) for n in ("scheme", "trigger", "behaviour") if getattr(given, n)}
    if not said:
        return None
    schemes = [s for s in get_args(Scheme) if s not in ("none", "ownership", "access")]
    scheme = next((s for s in schemes if s == given.scheme), None)
    if len(said) < 3 or scheme is None:
        raise UserError(
            f"organism: expected --scheme (one of {', '.join(schemes)}), --trigger and --behaviour "
            f"together, got {said}"
        )
    about, refusal = "A mapping that a user described.", given.refusal or REFUSAL
    return Recipe(given.name, about, (), given.trigger, given.behaviour, refusal, scheme)
