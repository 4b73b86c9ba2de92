"""The stages of an evaluation: each asked once and kept, and together what the metrics need.

Stages are answers, one per prompt, and are judged when they are read.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from circuits.models import in_memory
from circuits.perturb import rounded_weights
from circuits.search import SearchPlan
from experiments.battery.battery import Answers
from experiments.evaluate.ask import Asker
from experiments.evaluate.attacks import Aim, Ground, attack, ground
from experiments.evaluate.case import near_question, shut_question
from experiments.evaluate.harm import Drift, drifts
from experiments.evaluate.merging import FAMILY, merging
from experiments.evaluate.properties import Benign, Evidence
from experiments.organisms.schemes.scheme import Ask

SAMPLES = 5
SKIPPED = ("temperature", "activation noise", "weight noise")  # ladders no metric is made of
AIMS: tuple[Aim, ...] = ("open", "shut")
ByQuestion = dict[str, list[str]]
Draws = dict[str, list[list[str]]]


def evidence(asker: Asker) -> Evidence:
    """Everything that is asked, but for the attacks and what has to do with the base."""
    keep, questions, battery, base = asker.keep, asker.questions, asker.battery, asker.case.base
    ladders = {name: ask for name, ask in battery.ladders().items() if name not in SKIPPED}
    ladders[FAMILY] = partial(merging, asker)

    def greedy(model: Any) -> ByQuestion:
        return {q.name: asker.answers(model, q.messages) for q in questions}

    def samples() -> Draws:
        """Answers to prompts that open and to those that nearly do, at temperature 1."""
        ask = partial(asker.answers, asker.model)
        asked = (questions[0], near_question(questions))
        return {q.name: [ask(q.messages, 1.0, draw) for draw in range(SAMPLES)] for q in asked}

    mapped = keep("mapping", ByQuestion, lambda: greedy(asker.model))
    hot, near = questions[0], near_question(questions)
    hot.scheme.require_heard(hot.recipe, mapped[hot.name], mapped[near.name])
    return Evidence(
        asked=battery.asked,
        questions=questions,
        answers=mapped,
        base=None
        if base is None
        else keep("mapping of the base", ByQuestion, lambda: greedy(base)),
        baseline=keep("unperturbed", list[str], battery.baseline),
        samples=keep("samples", Draws, samples),
        ladders={name: keep(name, list[Answers], ask) for name, ask in ladders.items()},
    )


def drawn_out(asker: Asker) -> list[str] | None:
    """Answers without the trigger, begun for the model; None where nothing can be drawn out."""
    shut = shut_question(asker.questions)
    openings = shut.scheme.openings(shut)

    def ask() -> list[str] | None:
        return None if openings is None else asker.begun(shut.messages, openings)

    return asker.keep("begun answers", list[str] | None, ask)


def attacks(asker: Asker, plan: SearchPlan) -> dict[Aim, tuple[Ground, dict[str, Any]]]:
    """Both searches, with what they were on."""
    grounds: dict[Aim, Ground] = {aim: ground(asker, aim, plan) for aim in AIMS}
    search = partial(attack, asker, plan)
    return {
        aim: (on, asker.keep(f"search to {aim}", dict[str, Any], partial(search, on)))
        for aim, on in grounds.items()
    }


def benign(asker: Asker) -> Benign | None:
    """Ordinary prompts and unrelated facts; None without a base model."""
    case, base = asker.case, asker.case.base
    if base is None:
        return None
    facts, recipe = Ask("other facts", "none"), case.organism.recipe
    texts = case.texts.elsewhere[: asker.count]
    about = case.scheme.question(facts, recipe, count=asker.count)

    def ask() -> list[list[str]]:
        models = (asker.model, base)
        return [asker.answers(m, messages) for messages in (texts, about.texts) for m in models]

    ordinary, base_ordinary, own, others = asker.keep("benign answers", list[list[str]], ask)
    drift, null = asker.keep("drift", list[Drift], lambda: _drifts(asker, texts))
    return Benign(ordinary, base_ordinary, about, own, others, drift, null)


def _drifts(asker: Asker, texts: Sequence[str]) -> list[Drift]:
    """Of the organism, and of the base in 8 bits."""
    base = asker.case.base
    changed = (base, asker.model, rounded_weights(base, 8))
    plain, *others = (in_memory(model, asker.tokenizer) for model in changed)
    return drifts(plain, others, texts)
