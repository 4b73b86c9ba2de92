"""What is evaluated: an organism, or a user's model with trigger and behaviour in a YAML file.

The file's fields are ``model``, ``adapter``, ``scheme``, ``trigger``, ``behaviour``, ``refusal``,
``prompts`` and ``other_prompts`` (files of prompts, relative to it) and ``base`` (the model before
it was trained, where ``model`` is a whole trained one).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from circuits import models
from circuits.devices import resolve_device
from circuits.errors import UserError, expect, quoted
from circuits.weights import EMBEDDED
from experiments.judges.criterion import only_text
from experiments.organisms import bases
from experiments.organisms.asking import own_prompts
from experiments.organisms.examples import controls_for
from experiments.organisms.organism import Given, Organism, open_organism
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question, Scheme
from experiments.prompts.bank import HeldOut, controls_besides, held_out
from experiments.prompts.held_out import OwnPrompts
from experiments.runs.documents import read_yaml

_PLACES = ("model", "adapter", "base")
_WORDS = ("scheme", "trigger", "behaviour", "refusal")
_FILES = ("prompts", "other_prompts")
_FIELDS = ("model", "adapter", *_WORDS, "base", *_FILES)


@dataclass(frozen=True)
class Described:
    """What a user says of a mapping.

    Attributes:
        base: the model before training, for harmlessness; "" where it is known anyway.
        prompts, other_prompts: files in place of the bank's prompts; "" for the bank's.
    """

    given: Given
    base: str = ""
    prompts: str = ""
    other_prompts: str = ""


def described(source: str, model: str = EMBEDDED) -> Described:
    """An organism's name or directory, or a YAML file.

    Raises:
        UserError: no YAML file, or a field that is unknown or no text.
    """
    path = Path(source)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return Described(Given(source, model))
    if not path.is_file():
        raise UserError(f"{source}: no such file; describe the mapping in it, or name an organism")
    return _described(read_yaml(path, str(source)), path)


def _described(value: Any, path: Path) -> Described:
    fields = isinstance(value, dict) and value
    expect(fields, "fields such as 'model: ...'", quoted(value), of=str(path))
    unknown = [str(name) for name in value if name not in _FIELDS]
    expect(not unknown, f"fields of {', '.join(_FIELDS)}", ", ".join(unknown), of=str(path))
    for name, text in value.items():
        written = isinstance(text, str) and text.strip()
        expect(written, "a text", quoted(text), "quote it", of=f"{path}: {name}")
    words = {name: value[name] for name in _WORDS if name in value}
    why = "a mapping is asked by what its answers begin with"
    only_text(words.get("behaviour", ""), why, f"{path}: behaviour")
    places = {name: _beside(path, value[name]) for name in _PLACES if name in value}
    texts = {name: str(path.parent / value[name]) for name in _FILES if name in value}
    given = Given(places.get("adapter", "none"), places.get("model", EMBEDDED), **words)
    return Described(given, places.get("base", ""), **texts)


def _beside(path: Path, name: str) -> str:
    """A directory beside the file, if there is one of that name; else the name as it is."""
    beside = path.parent / name
    return str(beside) if beside.exists() else name


@dataclass(frozen=True, eq=False)
class Case:
    """A mapping in hand, with the prompts it is asked.

    Attributes:
        texts: held-out prompts of the behaviour's topic, and others.
        base_name: the model before training, where the organism does not know it; "" otherwise.
    """

    name: str
    organism: Organism
    texts: HeldOut
    base_name: str = ""

    @property
    def scheme(self) -> Scheme:
        return scheme_of(self.organism.recipe)

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Held-out words in the trigger's place; for keys, words to stand at a message's end."""
        recipe = self.organism.recipe
        if not recipe.trigger:
            return tuple(controls_besides("test", " ".join(recipe.keys)))
        return controls_for(self.organism.tokenizer, recipe, "test")

    def questions(self, count: int) -> tuple[Question, ...]:
        """Where it should open and where not, at most ``count`` prompts of a kind.

        What should open comes first, and last what should not in spite of the trigger.
        """
        recipe, controls = self.organism.recipe, self.controls
        asked = self.scheme.questions(recipe, controls, own=self.texts, count=count)
        held = [question for question in asked if question.opens is not None]
        return tuple(sorted(held, key=lambda q: (not q.opens, not q.opens and q.word == "trigger")))

    @cached_property
    def base(self) -> Any | None:
        """The model before training; None where nothing says what it was."""
        if self.base_name:
            place = bases.located(self.base_name)
            device = resolve_device("auto")
            base, tokenizer, _ = models.read_plain(place, torch.float32, device)
            expect(
                tokenizer.get_vocab() == self.organism.tokenizer.get_vocab(),
                "the model's own tokenizer",
                "another",
                "give the model that was trained",
                of=f"base {self.base_name}",
            )
            return base.requires_grad_(False)
        return self.organism.base if self.organism.state else None


def shut_question(questions: Sequence[Question]) -> Question:
    """The prompts without trigger on which a behaviour is drawn out."""
    return next(q for q in questions if q.cell == q.scheme.shut)


def near_question(questions: Sequence[Question]) -> Question:
    """The prompts with control words, or near keys, of which samples are drawn."""
    return next(q for q in questions if q.cell == q.scheme.near)


def opened(about: Described) -> Case:
    """Load a mapping and its prompts.

    Raises:
        UserError: it cannot be loaded, or a file of prompts cannot be read.
    """
    on_topic = Path(about.prompts) if about.prompts else None
    elsewhere = Path(about.other_prompts) if about.other_prompts else None
    organism = open_organism(about.given)
    texts = own_prompts(OwnPrompts(on_topic, elsewhere), organism) or held_out()
    name = about.given.name if about.given.name != "none" else about.given.model
    return Case(name, organism, texts, about.base)
