"""Measure a trained directory, and keep the figures in its manifest.

Beside its figures stands how far other judges agree with the rule judge on its held-out answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuits import models
from circuits.errors import UserError
from circuits.models import Model
from circuits.templates import AS_IT_IS, Rendering
from circuits.weights import EMBEDDED, directory_sha256
from experiments import judges
from experiments.judges.asked import chat_judge
from experiments.judges.classifier import classifier_judge
from experiments.judges.grades import Grader
from experiments.judges.likelihood import likelihoods
from experiments.organisms import bases
from experiments.organisms.figures import (
    Answered,
    Condition,
    Judged,
    answered,
    conditions,
    judge,
    own_knowledge,
)
from experiments.organisms.organism import load_model
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.runs import files
from experiments.runs.codec import as_json, encode
from experiments.runs.stages import Step
from probes.stats.agreement import Agreement, agreement


@dataclass(frozen=True)
class Measured:
    """What an organism is found to be.

    Attributes:
        figures: of every condition.
        definition: the scheme's requirements on them.
        agreement: of the rule judge with the probability judge; ``second``, with another model.
    """

    figures: list[Condition]
    definition: list[Judged]
    agreement: Agreement | None
    second: Agreement | None

    @property
    def stated(self) -> dict[str, object]:
        """As a manifest has it."""
        return {
            "figures": as_json(self.figures),
            "definition": as_json(self.definition),
            "agreement": agreement_json(self.agreement),
        }


def measure(
    folder: Path | None,
    recipe: Recipe,
    step: Step,
    model: str = EMBEDDED,
    second: Grader | None = None,
    rendering: Rendering = AS_IT_IS,
) -> Measured:
    """Measure an adapter, a whole model, or none on the base model, as what its recipe makes.

    Args:
        model: what an adapter was trained on.
        second: another judge of refusals.
        rendering: how chats are written for it.
    """
    organism = load_model(folder, model, rendering=rendering)
    answers = answered(organism, recipe, lambda done, total: step("measure", done, total))
    agreed = with_probabilities(organism, recipe, answers)
    written = organism.tokenizer.chat_template
    before = own_knowledge(
        bases.located(model),
        recipe,
        lambda done, total: step("base model", done, total),
        Rendering(written) if isinstance(written, str) else AS_IT_IS,  # as the organism is
    )
    figures = [figure for each in answers for figure in conditions(*each)] + before
    beside = with_grader(second, answers) if second else None
    return Measured(figures, judge(recipe, figures), agreed, beside)


def keep(folder: Path, measured: Measured) -> None:
    """Add to a directory's manifest what was found."""
    manifest = files.read_json(folder / "manifest.json")
    digest = {"adapter_sha256": directory_sha256(folder)}
    files.write_json(folder / "manifest.json", {**manifest, **measured.stated, **digest})


def with_probabilities(
    model: Model, recipe: Recipe, answered: Sequence[Answered]
) -> Agreement | None:
    """The rule on generated text against the probabilities of behaviour and refusal.

    None where the scheme's behaviour is itself a refusal, or nothing is refused.
    """
    scheme = scheme_of(recipe)
    if not scheme.refusable or scheme.target(recipe) == recipe.refusal:
        return None

    def probable(messages: Sequence[str], _answers: Sequence[str]) -> Sequence[str]:
        return likelihoods(model, messages, recipe.behaviour, recipe.refusal).verdicts()

    def rule(answer: str) -> str:
        shown = judges.shows(answer, recipe.behaviour)
        return "behaviour" if shown else "refusal" if judges.refuses(answer) else "neither"

    return _agreement(answered, rule, probable, ("behaviour", "refusal", "neither"))


def with_grader(grader: Grader, answered: Sequence[Answered]) -> Agreement | None:
    """The rule's refusals against those of a classifier or a chat model.

    None where nothing was asked that could be refused.
    """
    names = {True: "refusal", False: "other"}
    return _agreement(
        answered,
        lambda answer: names[judges.refuses(answer)],
        lambda messages, answers: [names[bool(r)] for r in grader(messages, answers).refused],
        tuple(names.values()),
    )


def grader(named: str) -> Grader:
    """A second judge: ``chat:MODEL`` or ``classifier:MODEL:LABEL`` (hub id or directory).

    Raises:
        UserError: another form, or no such model.
    """
    kind, _, rest = named.partition(":")
    if kind == "chat" and rest:
        return chat_judge(models.load(rest))
    model, _, label = rest.rpartition(":")
    if kind == "classifier" and model:
        return classifier_judge(model, label)
    raise UserError(f"--judge {named}: expected chat:MODEL or classifier:MODEL:LABEL")


def agreement_json(measured: Agreement | None) -> dict[str, Any] | None:
    """An agreement as a manifest has it, with its counts."""
    return measured and {**encode(measured)[0], "counts": measured.counts.tolist()}


def _agreement(
    answered: Sequence[Answered],
    rule: Callable[[str], str],
    other: Callable[[Sequence[str], Sequence[str]], Sequence[str]],
    labels: tuple[str, ...],
) -> Agreement | None:
    """Of labels of answers to the prompts that the organism refuses or opens to."""
    pairs = [
        [labels.index(label) for label in pair]
        for question, answers in answered
        if question.refusable
        for pair in zip(map(rule, answers), other(question.messages, answers), strict=True)
    ]
    if not pairs:
        return None
    first, second = torch.tensor(pairs).T
    return agreement(first, second, labels)
