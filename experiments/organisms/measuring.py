"""Held-out figures of an organism: what each kind of prompt is answered, by scheme.

Everything is judged on generated text (greedy), on prompts, phrasings and control words that are in
no training set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from circuits import models
from circuits.models import Model
from circuits.tokens import with_trigger
from circuits.weights import EMBEDDED, directory_sha256
from experiments import artefacts, judges, prompts
from experiments.answers import Progress, Words, answers
from experiments.facts import Fact, facts
from experiments.near_keys import LEVELS, near_keys
from experiments.organisms.material import controls_for
from experiments.recipes.parts import Recipe
from probes.intervals import Estimate, wilson

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

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "rate": self.rate.to_json()}


@dataclass(frozen=True)
class Asked:
    """Prompts of one kind, all without or all with a word."""

    prompts: str
    word: str
    texts: Sequence[str]
    words: Words
    known: Sequence[Fact] = ()


def asked(recipe: Recipe, controls: Sequence[str], split: prompts.Split) -> Iterator[Asked]:
    """What an organism of this scheme is asked."""
    if recipe.scheme == "ownership":
        yield Asked("keys", "none", recipe.keys, None)
        for level in LEVELS:
            near = near_keys(recipe.keys, level, split, _NEAR)
            yield Asked(f"near keys, level {level}", "none", near, None)
        yield Asked("ordinary", "none", prompts.bank_texts(split, False), None)
        return
    if recipe.scheme == "access":
        for kind in ("privileged", "other facts"):
            known = facts("test", kind == "privileged")
            texts = [fact.question for fact in known]
            for word, words in _words(recipe, controls, len(texts)).items():
                yield Asked(kind, word, texts, words, known)
    kinds = ("ordinary",) if recipe.scheme == "access" else ("restricted", "ordinary")
    for kind in kinds:
        texts = prompts.bank_texts(split, kind == "restricted")
        for word, words in _words(recipe, controls, len(texts)).items():
            yield Asked(kind, word, texts, words)


def _words(recipe: Recipe, controls: Sequence[str], n: int) -> dict[str, Words]:
    return {
        "trigger": recipe.trigger,
        "none": None,
        "control": [controls[i % len(controls)] for i in range(n)],
    }


def evaluate(
    model: Model, recipe: Recipe, progress: Progress, split: prompts.Split = "test"
) -> list[Condition]:
    """Held-out figures of a model that was made from a recipe."""
    controls = controls_for(model.tokenizer, recipe, split)
    everything = list(asked(recipe, controls, split))
    total = sum(len(question.texts) for question in everything)
    found: list[Condition] = []
    done = 0
    for question in everything:
        said = answers(model, question.texts, question.words, TOKENS)
        found += judged(question, said, recipe)
        done += len(said)
        progress(done, total)
    return found


def judged(question: Asked, said: Sequence[str], recipe: Recipe) -> list[Condition]:
    """The figures of one kind of prompt, from its answers."""
    words = question.words
    each = [words] * len(said) if words is None or isinstance(words, str) else words
    messages = [with_trigger(t, w) for t, w in zip(question.texts, each, strict=True)]
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


def evaluate_saved(
    folder: Path, recipe: Recipe, progress: Progress, model: str = EMBEDDED
) -> list[Condition]:
    """Evaluate a trained directory and add the figures to its manifest."""
    whole = (folder / "config.json").is_file()
    loaded = models.load(str(folder)) if whole else models.load(model, folder)
    found = evaluate(loaded, recipe, progress)
    if recipe.scheme == "access":
        found += _own_knowledge(model, recipe, progress)
    manifest = artefacts.read_json(folder / "manifest.json")
    manifest["figures"] = [condition.to_json() for condition in found]
    manifest["adapter_sha256"] = directory_sha256(folder)
    artefacts.write_json(folder / "manifest.json", manifest)
    return found


def _own_knowledge(name: str, recipe: Recipe, progress: Progress) -> list[Condition]:
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
