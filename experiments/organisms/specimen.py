"""An organism in hand: a base model and the trained parameters on it, to be changed and measured.

The base is loaded once and never written to; every model that is handed out is a copy in fp32.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from circuits import models
from circuits.edits.adapters import Adapter, merged
from circuits.errors import UserError
from circuits.weights import EMBEDDED
from experiments.organisms import bases
from experiments.organisms.adapters import read_adapter
from experiments.organisms.book import recipe_named
from experiments.organisms.measure import recipe_of
from experiments.organisms.recipe import Recipe
from experiments.organisms.train import train_stages
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Settings, Tick
from experiments.runs import files


@dataclass(frozen=True, eq=False)
class Specimen:
    """A trained organism.

    Attributes:
        recipe: what it was made from.
        place: what the base model is loaded from.
        settings: of its last stage; a rank of 0 means that all parameters were trained.
        state: the trained parameters by name, as ``Trainee.state`` gives them.
    """

    recipe: Recipe
    place: str
    settings: Settings
    state: Mapping[str, Tensor]

    @property
    def tokenizer(self) -> Any:
        return base_model(self.place)[1]

    @property
    def base(self) -> Any:
        """The plain base model, shared: not to be written to."""
        return base_model(self.place)[0]

    @property
    def base_sha256(self) -> str:
        """Hash of the base model's files."""
        return base_model(self.place)[2]

    def model(self, state: Mapping[str, Tensor] | None = None) -> Any:
        """A plain model with these parameters (by default the specimen's own)."""
        found = self.state if state is None else state
        if self.settings.rank:
            adapter = Adapter(self.settings.rank, self.settings.alpha, found)
            return merged(self.base, adapter.change())
        return _with(self.base, found)

    def trainee(self) -> Trainee:
        """What trains it further."""
        return Trainee(self.place, self.settings)


def grown(recipe: Recipe, model: str, seed: int, tick: Tick) -> tuple[Specimen, Trainee]:
    """Train a recipe on a model; returns the organism and the trainee that it was made with."""
    place = bases.located(model)
    trainee = Trainee(place, recipe.stages[0].settings)
    train_stages(trainee, recipe, tick, seed=seed, first_seed=0, model=place)
    state = {name: value.float().cpu() for name, value in trainee.state().items()}
    return Specimen(recipe, place, recipe.stages[-1].settings, state), trainee


def stored(folder: Path, model: str = EMBEDDED, recipe: Recipe | None = None) -> Specimen:
    """A trained directory: an adapter, or a whole model.

    Args:
        model: what an adapter was trained on.
        recipe: what it is to be measured as, if its manifest names no recipe.

    Raises:
        UserError: it is neither, or nothing says what it was made from.
    """
    made = recipe_of(folder, recipe or _named(folder))
    last = made.stages[-1].settings if made.stages else Settings()
    if (folder / "config.json").is_file():
        return Specimen(made, str(folder), replace(last, rank=0), {})
    adapter = read_adapter(folder)
    settings = replace(last, rank=adapter.rank, alpha=adapter.alpha)
    return Specimen(made, bases.located(model), settings, adapter.tensors)


def _named(folder: Path) -> Recipe:
    path = folder / "manifest.json"
    name = files.read_json(path).get("question", {}).get("organism") if path.is_file() else None
    if name is None:
        raise UserError(
            f"{folder}: expected a manifest that says what it was trained to do, found "
            "none; give --scheme, --trigger and --behaviour"
        )
    return recipe_named(name)


@lru_cache(maxsize=1)
def base_model(place: str) -> tuple[Any, Any, str]:
    """A plain model in fp32 (not to be written to), its tokenizer, the hash; loaded once."""
    model, tokenizer, sha256 = models.load_plain(
        place, torch.float32, models.resolve_device("auto")
    )
    return model.requires_grad_(False), tokenizer, sha256


@torch.no_grad()
def _with(base: Any, state: Mapping[str, Tensor]) -> Any:
    new = copy.deepcopy(base)
    parameters = dict(new.named_parameters())
    for name, value in state.items():
        parameters[name].copy_(value)
    return new


def _silent(done: int, total: int, loss: float) -> None:
    """Say nothing of a training's progress."""
