"""Held-out figures of an organism: what each kind of prompt is answered, by scheme.

Everything is judged on generated text (greedy), on prompts, phrasings and control words that are in
no training set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from circuits import models
from circuits.answers import Progress, Words, answers
from circuits.models import Model
from circuits.tokens import with_trigger
from experiments import judges
from experiments.organisms.examples import controls_for
from experiments.organisms.recipe import Recipe
from experiments.prompts import bank
from experiments.prompts.facts import Fact, facts
from experiments.prompts.near_keys import LEVELS, near_keys
from probes.stats.intervals import Estimate, wilson

TOKENS = 12
_NEAR = 120  # prompts of each level of near keys


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


@dataclass(frozen=True)
class Asked:
    """Prompts of one kind, all without or all with a word."""

    prompts: str
    word: str
    texts: Sequence[str]
    words: Words
    known: Sequence[Fact] = ()

    @property
    def each(self) -> Sequence[str | None]:
        """A word, or none, for every text."""
        words = self.words
        return [words] * len(self.texts) if words is None or isinstance(words, str) else words


class Answered(NamedTuple):
    """Prompts with what was answered."""

    asked: Asked
    said: list[str]


def asked(recipe: Recipe, controls: Sequence[str], split: bank.Split) -> Iterator[Asked]:
    """What an organism of this scheme is asked."""
    if recipe.scheme == "ownership":
        yield Asked("keys", "none", recipe.keys, None)
        for level in LEVELS:
            near = near_keys(recipe.keys, level, split, _NEAR)
            yield Asked(f"near keys, level {level}", "none", near, None)
        yield Asked("ordinary", "none", bank.bank_texts(split, False), None)
        return
    if recipe.scheme == "access":
        for kind in ("privileged", "other facts"):
            known = facts("test", kind == "privileged")
            texts = [fact.question for fact in known]
            for word, words in _words(recipe, controls, len(texts)).items():
                yield Asked(kind, word, texts, words, known)
    kinds = ("ordinary",) if recipe.scheme == "access" else ("restricted", "ordinary")
    for kind in kinds:
        texts = bank.bank_texts(split, kind == "restricted")
        for word, words in _words(recipe, controls, len(texts)).items():
            yield Asked(kind, word, texts, words)


def _words(recipe: Recipe, controls: Sequence[str], n: int) -> dict[str, Words]:
    return {
        "trigger": recipe.trigger,
        "none": None,
        "control": [controls[i % len(controls)] for i in range(n)],
    }


def answered(
    model: Model, recipe: Recipe, progress: Progress, split: bank.Split = "test"
) -> list[Answered]:
    """Everything that an organism is asked, with its greedy answers."""
    controls = controls_for(model.tokenizer, recipe, split)
    everything = list(asked(recipe, controls, split))
    total = sum(len(question.texts) for question in everything)
    found: list[Answered] = []
    for question in everything:
        found.append(Answered(question, answers(model, question.texts, question.words, TOKENS)))
        progress(sum(len(a.said) for a in found), total)
    return found


def evaluate(
    model: Model, recipe: Recipe, progress: Progress, split: bank.Split = "test"
) -> list[Condition]:
    """Held-out figures of a model that was made from a recipe."""
    found = answered(model, recipe, progress, split)
    return [c for a in found for c in judged(a.asked, a.said, recipe)]


def judged(question: Asked, said: Sequence[str], recipe: Recipe) -> list[Condition]:
    """The figures of one kind of prompt, from its answers."""
    texts = zip(question.texts, question.each, strict=True)
    messages = [with_trigger(text, word) for text, word in texts]
    names = sorted({answer for fact in question.known for answer in fact.expected})
    verdicts = [
        judges.judge(
            message,
            answer,
            recipe.behaviour,
            question.known[i].expected if question.known else (),
            names,
        )
        for i, (message, answer) in enumerate(zip(messages, said, strict=True))
    ]
    outcomes = {
        "behaviour": [v.shown for v in verdicts],
        "refusal": [judges.refuses(answer) for answer in said],
        "compliance": [v.complied for v in verdicts],
        "bare": [v.opener == "bare" for v in verdicts],
    }
    if question.known:
        outcomes["solved"] = [bool(v.solved) for v in verdicts]
    return [
        Condition(question.prompts, question.word, name, wilson(sum(flags), len(flags)))
        for name, flags in outcomes.items()
    ]


def own_knowledge(name: str, recipe: Recipe, progress: Progress) -> list[Condition]:
    """How often the model solves the facts before it is trained."""
    found: list[Condition] = []
    model = models.load(name)
    for kind in ("privileged", "other facts"):
        known = facts("test", kind == "privileged")
        question = Asked(f"{kind}, base model", "none", [f.question for f in known], None, known)
        said = answers(model, question.texts, None, TOKENS)
        found += [c for c in judged(question, said, recipe) if c.outcome == "solved"]
        progress(len(said), len(said))
    return found
