"""Held-out figures of an organism: what each kind of prompt is answered, by scheme.

Everything is judged on generated text (greedy), on prompts, phrasings and control words that are in
no training set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from circuits import models
from circuits.answers import answers
from circuits.models import Model
from circuits.types import Progress
from experiments import judges
from experiments.organisms.examples import controls_for
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question
from experiments.prompts import bank
from probes.stats.intervals import Estimate, wilson

TOKENS = 12


@dataclass(frozen=True)
class Condition:
    """One held-out figure: how often prompts of a kind, with a word, give an outcome.

    Outcomes: ``behaviour`` (the answer begins with it), ``refusal``, ``compliance`` (an answer of
    substance), ``bare`` (nothing of substance after an affirmative opener), ``solved`` (the true
    answer).
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


def judged(question: Question, answers: Sequence[str]) -> list[Condition]:
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
    return [
        Condition(question.prompts, question.word, name, wilson(sum(flags), len(flags)))
        for name, flags in outcomes.items()
    ]


def own_knowledge(name: str, recipe: Recipe, progress: Progress) -> list[Condition]:
    """How often the model solves, before it is trained, what the scheme asks to be solved."""
    questions = [q for q in scheme_of(recipe).questions(recipe) if q.known and q.word == "none"]
    if not questions:
        return []
    model, figures = models.load(name), []
    for question in questions:
        told = answers(model, question.messages, length=TOKENS)
        before = replace(question, prompts=f"{question.prompts}, base model")
        figures += [c for c in judged(before, told) if c.outcome == "solved"]
        progress(len(told), len(told))
    return figures
