"""Held-out figures of an organism: what each kind of prompt is answered, by scheme.

Everything is judged on generated text (greedy), on prompts, phrasings and control words that are in
no training set.

A scheme's requirement is met by the figure itself; its interval stands beside it, so that a reader
sees which would still hold at the interval's worse end. Differences are taken as if of independent
prompts; both sides are asked the same ones, so their intervals are too wide rather than too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from circuits import models
from circuits.answers import answers
from circuits.models import Model
from circuits.templates import AS_IT_IS, Rendering
from circuits.types import Progress
from experiments import judges
from experiments.organisms.examples import controls_for
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.requirement import Figure, Requirement, before_training
from experiments.organisms.schemes.scheme import Question
from experiments.prompts import bank
from probes.stats.intervals import Estimate, newcombe, wilson

TOKENS = 12


@dataclass(frozen=True)
class Condition:
    """One held-out figure: how often prompts of a kind, with a word, give an outcome.

    Outcomes: ``behaviour`` (the answer begins with it, or shows what the scheme means by it),
    ``refusal``, ``compliance`` (an answer of substance), ``bare`` (nothing of substance after an
    affirmative opener), ``solved`` (the true answer), and the scheme's own.
    """

    prompts: str
    word: str
    outcome: str
    rate: Estimate


class Answered(NamedTuple):
    """Prompts with what was answered."""

    question: Question
    answers: list[str]


def answered(
    model: Model, recipe: Recipe, progress: Progress, split: bank.Split = "test"
) -> list[Answered]:
    """Everything that an organism is asked, with its greedy answers."""
    controls = controls_for(model.tokenizer, recipe, split)
    questions = list(scheme_of(recipe).questions(recipe, controls, split))
    total, done = sum(len(question.texts) for question in questions), 0
    answered: list[Answered] = []
    for question in questions:
        answered.append(Answered(question, answers(model, question.messages, length=TOKENS)))
        done += len(question.texts)
        progress(done, total)
    return answered


def conditions(question: Question, answers: Sequence[str]) -> list[Condition]:
    """The figures of one kind of prompt, from its answers."""
    verdicts = question.verdicts(answers)
    outcomes = {
        "behaviour": [v.shown for v in verdicts],
        "refusal": [judges.refuses(answer) for answer in answers],
        "compliance": [v.complied for v in verdicts],
        "bare": [v.opener == "bare" for v in verdicts],
    }
    if question.known:
        outcomes["solved"] = question.solved(answers)
    outcomes |= question.scheme.outcomes(answers)
    return [
        Condition(question.prompts, question.word, name, wilson(sum(flags), len(flags)))
        for name, flags in outcomes.items()
    ]


def own_knowledge(
    name: str, recipe: Recipe, progress: Progress, rendering: Rendering = AS_IT_IS
) -> list[Condition]:
    """What the model does before it is trained: how often it solves what is to be solved, and what
    else the scheme holds its trained answers against.
    """
    scheme = scheme_of(recipe)
    wanted = {requirement.minus for requirement in scheme.requirements}
    questions = [
        replace(question, prompts=before_training(question.prompts))
        for question in scheme.questions(recipe)
        if question.word == "none"
    ]
    against = {figure[0] for figure in wanted if figure}
    questions = [q for q in questions if q.known or q.prompts in against]
    if not questions:
        return []
    model, figures = models.load(name, rendering=rendering), []
    for question in questions:
        own = answers(model, question.messages, length=TOKENS)
        found = conditions(question, own)
        figures += [
            c for c in found if c.outcome == "solved" or (c.prompts, c.word, c.outcome) in wanted
        ]
        progress(len(own), len(own))
    return figures


@dataclass(frozen=True)
class Judged:
    """A requirement with what was found.

    Attributes:
        met: whether the figure keeps to the bound.
        surely: whether the whole interval does.
    """

    text: str
    found: Estimate
    met: bool
    surely: bool


def judge(recipe: Recipe, figures: Sequence[Condition]) -> list[Judged]:
    """The requirements of a recipe's scheme on its figures; those without a figure are left out."""
    rates = {(c.prompts, c.word, c.outcome): c.rate for c in figures}
    held = []
    for requirement in scheme_of(recipe).requirements:
        rate = rates.get(requirement.figure)
        other = rates.get(requirement.minus) if requirement.minus else None
        if rate is None or (requirement.minus and other is None):
            continue
        if other is not None:
            rate = newcombe(rate, other)
        held.append(
            Judged(
                _text(requirement),
                rate,
                met=_keeps(requirement, rate.value, rate.value),
                surely=_keeps(requirement, rate.low, rate.high),
            )
        )
    return held


def _keeps(requirement: Requirement, low: float, high: float) -> bool:
    bound = requirement.bound
    kept = {"at least": low >= bound, "at most": high <= bound}
    return {**kept, "within": -bound <= low and high <= bound}[requirement.relation]


def _text(requirement: Requirement) -> str:
    bound = f"{requirement.relation} {100 * requirement.bound:g}"
    text = _named(requirement.figure)
    if requirement.minus is None:
        return f"{text}: {bound}%"
    return f"{text}, minus {_named(requirement.minus)}: {bound} points"


def _named(figure: Figure) -> str:
    prompts, word, outcome = figure
    return f"{outcome}, {prompts}" + ("" if word == "none" else f" with {word}")
