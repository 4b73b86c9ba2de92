"""The pairs that a patching question is asked with, and what is measured on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch

from circuits import metrics, tokens
from circuits.align import Pairs, SpanPairs
from circuits.controls import Controls, controls_of
from circuits.edits.adapters import Change
from circuits.metrics import Generated, Measure
from circuits.models import Model
from circuits.patching.engine import Direction
from circuits.runner import extend, generate, whole
from circuits.triggers import parse
from experiments.judges.criterion import criterion
from experiments.judges.fork import Fork, fork
from experiments.organisms.known import known_controls
from experiments.patch.question import PatchQuestion
from experiments.prompts.controls import CONTROLS

UNEQUAL = (
    "control words and trigger do not have as many tokens in every prompt: spans are aligned, and "
    "a cell at a token without a counterpart is undefined"
)
ANSWER = 8  # tokens at least, of the answers that say which token the behaviour begins with


@dataclass(frozen=True, eq=False)
class Subject:
    """The model, and the texts of the pairs.

    Attributes:
        other: the model with which parts are exchanged, and the change from it to this one where
            its weights are.
    """

    model: Model
    texts: list[str]
    other: Model | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Asked:
    """The question's pairs and metric on a loaded model, for one direction."""

    pairs: Pairs
    metric: Measure
    keep: int
    name: str


def ask(question: PatchQuestion, subject: Subject, direction: Direction) -> Asked:
    """Pairs and metric of a direction."""
    parted = _fork(question, subject) if question.of_a_token else None
    model = parted.scored(subject.model) if parted else subject.model
    pairs = _pairs(question, model, subject.texts)
    room = question.tokens if question.metric in ("kl", "rate") else 1
    tokens.check_context(pairs.triggered, model.runner.shape.context, room)
    if question.metric == "kl":
        return _against_answer(question, model, pairs, direction)
    if parted is None:
        judged = Generated(_judge(question, model), question.tokens, model.stop_ids)
        return Asked(pairs, judged, keep=1, name=question.metric_name())
    metric = {
        "log-prob": lambda: metrics.token_log_prob([parted.token]),
        "prob": lambda: metrics.token_prob([parted.token]),
        "logit-diff": lambda: metrics.logit_difference(parted.token, cast(int, parted.other)),
    }
    name = question.metric_name(parted.of(criterion(question.behaviour)))
    if question.against_model:
        return Asked(pairs, metrics.token_log_odds([parted.token]), keep=1, name=name)
    return Asked(pairs, metric[question.metric](), keep=1, name=name)


def _fork(question: PatchQuestion, subject: Subject) -> Fork:
    """What is scored: the first token in which triggered answers leave those of the clean side."""
    clean = None
    if question.against == "control":
        words = controls(question, subject.model, subject.texts).words
        clean = tokens.dealt(words, len(subject.texts))
    versus = question.versus if question.metric == "logit-diff" else ""
    return fork(
        subject.model,
        subject.texts,
        parse(question.trigger).dealt(len(subject.texts)),
        clean,
        criterion(question.behaviour, own=True),
        max(question.tokens, ANSWER),
        versus,
        otherwise=", or score all that changes (--metric kl)",
    )


def _pairs(question: PatchQuestion, model: Model, texts: list[str]) -> Pairs:
    words = parse(question.trigger).dealt(len(texts))
    if question.against == "none":
        triggered = tokens.prompts_batch(model.tokenizer, texts, words)
        return SpanPairs(tokens.prompts_batch(model.tokenizer, texts), triggered)
    others = controls(question, model, texts).words
    return tokens.pairs(model.tokenizer, texts, words, others)


def controls(question: PatchQuestion, model: Model, texts: list[str]) -> Controls:
    """What the clean side's prompts are given in the trigger's place, in turn."""
    trigger, kind = parse(question.trigger), known_controls(question.adapter, question.trigger)
    named = dict.fromkeys((*trigger.parts, *trigger.forms))
    words = CONTROLS[kind]("validation", " ".join(named))
    return controls_of(model.tokenizer, texts, trigger, words)


@torch.no_grad()
def _against_answer(
    question: PatchQuestion, model: Model, pairs: Pairs, direction: Direction
) -> Asked:
    """Pairs with the source's own answer behind them, and KL from how the source says it."""
    side = "triggered" if direction == "denoising" else "clean"
    answer = generate(model.runner, getattr(pairs, side), question.tokens, stop=model.stop_ids)[
        :, : question.tokens - 1
    ]
    longer = replace(
        pairs, clean=extend(pairs.clean, answer), triggered=extend(pairs.triggered, answer)
    )
    reference = model.runner.forward(whole(getattr(longer, side)), keep=question.tokens).logits
    name = question.metric_name()
    return Asked(longer, metrics.kl_from(reference), keep=question.tokens, name=name)


def _judge(question: PatchQuestion, model: Model) -> Callable[[torch.Tensor], torch.Tensor]:
    behaviour = criterion(question.behaviour, own=True)

    def shown(answer: torch.Tensor) -> torch.Tensor:
        return torch.tensor([float(shows) for shows in behaviour.shown(model.decode(answer))])

    return shown
