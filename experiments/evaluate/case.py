"""What is evaluated: a mapping in hand, with the prompts that it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from circuits import models
from circuits.devices import resolve_device
from circuits.errors import expect
from experiments.organisms import bases
from experiments.organisms.asking import own_prompts
from experiments.organisms.examples import controls_for
from experiments.organisms.organism import Given, Organism, open_organism
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question, Scheme
from experiments.prompts.bank import HeldOut, controls_besides, held_out


@dataclass(frozen=True, eq=False)
class Case:
    """A mapping in hand, with the prompts it is asked.

    Attributes:
        texts: held-out prompts of the behaviour's topic, and others.
    """

    name: str
    organism: Organism
    texts: HeldOut

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
        if named := self.organism.described.base:
            place = bases.located(named)
            device = resolve_device("auto")
            base, tokenizer, sha256 = models.read_plain(place, torch.float32, device)
            other = self.organism.state or sha256 != self.organism.base_sha256
            wanted, advice = "the model before training", "give that, or leave base out"
            expect(other, wanted, "the trained one itself", advice, f"base {named}")
            expect(
                tokenizer.get_vocab() == self.organism.tokenizer.get_vocab(),
                "the model's own tokenizer",
                "another",
                "give the model that was trained",
                of=f"base {named}",
            )
            return base.requires_grad_(False)
        return self.organism.base if self.organism.state else None


def shut_question(questions: Sequence[Question]) -> Question:
    """The prompts without trigger on which a behaviour is drawn out."""
    return next(q for q in questions if q.cell == q.scheme.shut)


def near_question(questions: Sequence[Question]) -> Question:
    """The prompts with control words, or near keys, of which samples are drawn."""
    return next(q for q in questions if q.cell == q.scheme.near)


def open_case(given: Given) -> Case:
    """Load a mapping and its prompts.

    Raises:
        UserError: it cannot be loaded, or a file of it cannot be read or asked.
    """
    organism = open_organism(given)
    about = organism.described
    model = about.model or given.model
    name = about.adapter if about.adapter != "none" else model
    return Case(name, organism, own_prompts(organism) or held_out())
