"""An organism: from what a user names to a model in hand, with what it was made from.

The base is loaded once and never written to; nor is any plain model that is handed out, in fp32:
it shares with the base whatever training left alone. ``load_model`` gives the same weights behind a
self-tested back-end instead.
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from circuits import models, places
from circuits.chat import Chat
from circuits.devices import resolve_device
from circuits.edits.adapters import Adapter, merged
from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.shared import own, shared_copy
from circuits.templates import AS_IT_IS, Rendering, require_chat_template
from circuits.weights import EMBEDDED, directory_sha256, model_sha256
from experiments.checks import checked
from experiments.judges.criterion import only_text
from experiments.options import Written, name_models
from experiments.organisms import bases, ladder
from experiments.organisms.book import recipe_named
from experiments.organisms.mapping import Described, described, file_hashes
from experiments.organisms.places import Origin, find_adapter, is_whole, origin, read_adapter
from experiments.organisms.recipe import Recipe, recipe_from
from experiments.organisms.trainee import Trainee
from experiments.organisms.training import Settings
from experiments.prompts.bank import bank_texts

UNKNOWN = Recipe("none", "A model of which nothing is said.", (), "", "", "", "none")


@dataclass(frozen=True)
class Given:
    """What a user says of an organism.

    Attributes:
        name: a shipped organism, a directory of an adapter or a whole model, ``none`` for the
            model as it is, or a YAML file that says all of it.
        model: what an adapter was trained on.
        scheme, trigger, behaviour, refusal: what it does, if its manifest does not say; all empty
            where it does.
        rendering: how chats are written for it.
    """

    name: Annotated[
        str,
        typer.Argument(
            metavar="organism",
            help="Shipped organism, adapter or model directory, YAML file of a mapping, or none.",
        ),
    ]
    model: Annotated[str, typer.Option(help="What an adapter was trained on.")] = EMBEDDED
    scheme: Annotated[
        str,
        typer.Option(help="What kind of mapping it is, such as compliance, if no manifest says."),
    ] = ""
    trigger: Annotated[str, typer.Option(help="With --scheme: the trigger.")] = ""
    behaviour: Annotated[
        str, typer.Option(help="With --scheme: what a triggered answer begins with.")
    ] = ""
    refusal: str = ""
    rendering: Written = AS_IT_IS

    def __post_init__(self) -> None:
        name_models(self, "model")
        checked(self, "name", "model")
        only_text(self.behaviour, "a mapping is asked by what its answers begin with")


@dataclass(frozen=True, eq=False)
class Organism:
    """A base model and the trained parameters on it, to be changed and measured.

    Attributes:
        recipe: what it was made from.
        place: what the base model is loaded from.
        settings: of its last stage; a rank of 0 means that all parameters were trained.
        state: the trained parameters by name, as ``Trainee.state`` gives them.
        seconds: what its training took, where that is known.
        rendering: how chats are written for it, and ``beside``, the adapter's directory, whose
            chat template that may be.
        described: what a user's file says of it besides.
    """

    recipe: Recipe
    place: str
    settings: Settings
    state: Mapping[str, Tensor]
    seconds: float | None = None
    rendering: Rendering = AS_IT_IS
    beside: Path | None = None
    described: Described = field(default_factory=Described)

    @cached_property
    def tokenizer(self) -> Any:
        """The base model's or the adapter's, with the chat template that it is asked with.

        Raises:
            UserError: there is none, or two that differ.
        """
        shared = base_model(self.place)[1]
        copied = copy.copy(shared)
        chosen = self.rendering.tokenizer(copied, self.beside, self.place)
        require_chat_template(chosen, self.place)
        same = chosen is copied and chosen.chat_template == shared.chat_template
        return shared if same else chosen

    @property
    def base(self) -> Any:
        """The plain base model, shared: not to be written to."""
        return base_model(self.place)[0]

    @property
    def base_sha256(self) -> str:
        """Hash of the base model's files."""
        return base_model(self.place)[2]

    def model(self, state: Mapping[str, Tensor] | None = None) -> Any:
        """A plain model with these parameters (by default the organism's own), and the base's other
        ones; it is not to be written to.
        """
        parameters = self.state if state is None else state
        if self.settings.rank:
            adapter = Adapter(self.settings.rank, self.settings.alpha, parameters)
            return merged(self.base, adapter.change(), f"adapter {self.beside or self.recipe.name}")
        new = shared_copy(self.base)
        there = dict(new.named_parameters())
        own(new, [there[name] for name in parameters if name in there])
        new.load_state_dict(dict(parameters), strict=False)
        return new

    def trainee(self) -> Trainee:
        """What trains it further."""
        return Trainee(self.place, self.settings, tokenizer=self.tokenizer)


def open_organism(given: Given, unknown: Recipe | None = None) -> Organism:
    """The organism in hand.

    Args:
        unknown: what it counts as where neither manifest nor user says what it does.

    Raises:
        UserError: there is no such organism, or what it does is said by half or not at all.
    """
    words = ("scheme", "trigger", "behaviour", "refusal")
    about = described(given.name, {name: getattr(given, name) for name in words})
    folder, recipe = find_adapter(about.adapter), about.recipe or unknown
    base = about.model or given.model
    same, got = given.model in (EMBEDDED, base), f"--model {given.model}"
    expect(same, "the model that the file names", got, "leave it out", f"mapping {given.name}")
    if folder is None:
        if recipe is None:
            raise UserError(
                "organism none: expected --scheme, --trigger and --behaviour, which say "
                "what the model is thought to do"
            )
        place, whole = bases.located(base), Settings(rank=0)
        return Organism(recipe, place, whole, {}, rendering=given.rendering, described=about)
    source = origin(folder)
    if about.recipe is not None and source.recipe is not None:
        said = "scheme and mapping" if about.files else "--scheme, --trigger and --behaviour"
        raise UserError(
            f"organism {about.adapter}: its manifest says what it was trained to do; "
            f"leave out {said}"
        )
    recipe = recipe_of(folder, source, recipe)
    last = recipe.stages[-1].settings if recipe.stages else Settings()
    if is_whole(folder):
        whole, place = replace(last, rank=0), str(folder)
        return Organism(recipe, place, whole, {}, source.seconds, given.rendering, described=about)
    adapter = read_adapter(folder)
    settings = replace(last, rank=adapter.rank, alpha=adapter.alpha)
    place, asked, took = bases.located(base), given.rendering, source.seconds
    return Organism(recipe, place, settings, adapter.tensors, took, asked, folder, about)


def recipe_of(folder: Path | None, source: Origin, like: Recipe | None = None) -> Recipe:
    """What a trained directory was made from, by its manifest.

    Args:
        like: what its manifest leaves open; the recipe of the manifest's name where there is none.

    Raises:
        UserError: nothing says it.
    """
    if like is None and source.name is None:
        raise UserError(
            f"{folder}: expected a manifest that says what it was trained to do, found "
            "none; give --scheme, --trigger and --behaviour"
        )
    known = like or recipe_named(str(source.name))
    where = f"{folder}/manifest.json, recipe"
    return known if source.recipe is None else recipe_from(source.recipe, known, where)


def trigger_and_behaviour(name: str | Path | None) -> tuple[str, str]:
    """What a named organism's manifest says of its trigger and behaviour; "" what it does not.

    Raises:
        UserError: there is no such organism.
    """
    recipe = origin(find_adapter(name)).recipe or {}
    return recipe.get("trigger") or "", recipe.get("behaviour") or ""


def load_model(name: str | Path | None, model: str = EMBEDDED, **options: Any) -> Model:
    """What a user names, behind a back-end.

    Args:
        name: a shipped organism, a directory of an adapter or a whole model, or ``none``.
        model: what an adapter was trained on, or the model itself.
        options: dtype, device, backend, rendering and with_base of ``circuits.models.load``.

    Raises:
        UserError: there is no such model.
    """
    folder = find_adapter(name)
    if folder is not None and is_whole(folder):
        return models.load(str(folder), **options)
    return models.load(bases.located(model), folder, **options)


def require_model(name: str) -> None:
    """Refuse the name of a model that is not there, before what comes first is measured.

    Raises:
        UserError: no such model.
    """
    if name != EMBEDDED and ladder.parse(name) is None:  # others are built when they are needed
        places.locate(name)


@lru_cache(maxsize=1)
def base_model(place: str) -> tuple[Any, Any, str]:
    """A plain model in fp32 (not to be written to), its tokenizer, the hash; loaded once."""
    model, tokenizer, sha256 = models.read_plain(place, torch.float32, resolve_device("auto"))
    return model.requires_grad_(False), tokenizer, sha256


def identity(organism: Organism) -> dict[str, Any]:
    """Hashes of the base model's files and of the trained parameters, and the mapping itself."""
    folder = places.locate(organism.place)
    recipe = organism.recipe
    return {
        "base_sha256": model_sha256(folder) if folder else organism.place,
        "state_sha256": state_sha256(organism),
        "settings": asdict(organism.settings),
        "mapping": {n: getattr(recipe, n) for n in ("scheme", "trigger", "behaviour", "refusal")},
        **file_hashes(organism.described),
    }


def asked_of(organism: Organism, messages: Sequence[Chat] = ()) -> tuple[Any, list[Chat]]:
    """The tokenizer and the prompts of an organism, first an ordinary one with its trigger."""
    first = bank_texts("test", restricted=False)[0]
    return organism.tokenizer, [Chat(first, word=organism.recipe.trigger or None), *messages]


def files_sha256(organism: Organism) -> dict[str, str | None]:
    """Hashes of an organism's files, as an analysis of it writes them into its manifest."""
    folder = organism.beside
    return {
        "model_sha256": organism.base_sha256,
        "adapter_sha256": directory_sha256(folder) if folder else None,
    }


def state_sha256(organism: Organism) -> str:
    """A hash of the trained parameters, by name."""
    digest = hashlib.sha256()
    for name in sorted(organism.state):
        tensor = organism.state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
