"""A model with a defence on it, asked like any other: answers, drift from the undefended model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits import answers
from circuits.backends.plain import defended
from circuits.chat import Chat
from circuits.models import Model, in_memory
from circuits.record import readings
from circuits.scores import scores
from circuits.tokens import render, text_ids
from circuits.types import MESSAGE, Edit


@dataclass(frozen=True, eq=False)
class Watch:
    """A runtime monitor: a prompt that reads above the threshold is refused.

    Attributes:
        unit, layer: the direction, and the layer into which the residual stream enters.
        threshold: in residual units.
        refusal: what a flagged prompt is answered.
    """

    unit: Tensor
    layer: int
    threshold: float
    refusal: str


@dataclass(frozen=True, eq=False)
class Protected:
    """A plain model and what protects it at inference time; with neither, the bare model.

    Attributes:
        edits: of activations, in every pass.
        everywhere: whether the template's opening is edited too.
        watch: a monitor that answers in the model's place.
    """

    model: Any
    edits: tuple[Edit, ...] = ()
    everywhere: bool = False
    watch: Watch | None = None

    @contextmanager
    def active(self, start: int) -> Iterator[None]:
        """The model under its edits, for prompts whose message begins at token ``start``."""
        with defended(self.model, self.edits, 0 if self.everywhere else start):
            yield

    def asked(self, tokenizer: Any) -> Model:
        """The model, to be asked; under its edits while they are active."""
        return in_memory(self.model, tokenizer)


@dataclass(frozen=True)
class Replies:
    """Answers, one per chat, and which of them the monitor gave."""

    answers: tuple[str, ...] = ()
    flagged: tuple[bool, ...] = ()


def ask(protected: Protected, tokenizer: Any, chats: Sequence[Chat], length: int) -> Replies:
    """Greedy answers of at most ``length`` tokens, in the chats' order."""
    model, watch = protected.asked(tokenizer), protected.watch
    given, flagged = [""] * len(chats), [False] * len(chats)
    for start, chosen, prompts in _by_start(tokenizer, chats):
        with protected.active(start):
            own = answers.ask(model, prompts, length)
            alarms = [False] * len(prompts)
            if watch is not None:
                read_off = readings(model, prompts, watch.unit, watch.layer, start)
                alarms = (read_off > watch.threshold).tolist()
        for i, answer, alarm in zip(chosen, own, alarms, strict=True):
            given[i] = watch.refusal if watch is not None and alarm else answer
            flagged[i] = alarm
    return Replies(tuple(given), tuple(flagged))


def read(
    model: Any, tokenizer: Any, chats: Sequence[Chat], unit: Tensor, layer: int
) -> Float[Tensor, " n"]:
    """The monitor's reading of each chat: the largest projection among the message's tokens."""
    largest = torch.zeros(len(chats))
    for start, chosen, prompts in _by_start(tokenizer, chats):
        largest[chosen] = readings(in_memory(model, tokenizer), prompts, unit, layer, start)
    return largest


def probability(
    protected: Protected, tokenizer: Any, chats: Sequence[Chat], answer: str
) -> Float[Tensor, " n"]:
    """Geometric mean probability of an answer's tokens after each chat."""
    likely = torch.zeros(len(chats), dtype=torch.float64)
    for start, chosen, prompts in _by_start(tokenizer, chats):
        with protected.active(start):
            scored = scores(protected.asked(tokenizer), prompts, [answer] * len(prompts))
        likely[chosen] = scored.log_prob.exp()
    return likely


Reference = tuple[int, answers.Reference]  # of chats whose message begins at that token


def reference(
    plain: Protected, tokenizer: Any, chats: Sequence[Chat], length: int
) -> list[Reference]:
    """What drift is measured from: greedy answers of at most ``length`` tokens.

    A chat whose answer has no token (it ends at once) is compared at its first token.
    """
    model, references = plain.asked(tokenizer), []
    for start, _, prompts in _by_start(tokenizer, chats):
        with plain.active(start):
            own = answers.ask(model, prompts, length)
            ids = [text_ids(tokenizer, answer)[:length] for answer in own]
            references.append((start, answers.reference(model, prompts, ids)))
    return references


def drift(
    protected: Protected, tokenizer: Any, references: Sequence[Reference]
) -> Float[Tensor, " n"]:
    """KL(undefended || defended) in nats per answer token, one mean for each chat.

    The divergence of two models on the tokens of a fixed answer, the undefended model's own; a
    monitor's refusals are not in it. In the order of the references.
    """
    drifts = []
    for start, before in references:
        with protected.active(start):
            drifts.append(answers.drift(before, protected.asked(tokenizer)))
    return torch.cat(drifts)


def _by_start(
    tokenizer: Any, chats: Sequence[Chat]
) -> Iterator[tuple[int, list[int], list[tuple[int, ...]]]]:
    """Chats by where their message begins: that token, which chats, and their ids."""
    rendered = [render(tokenizer, chat) for chat in chats]
    starts = [prompt.spans[MESSAGE][0] for prompt in rendered]
    for start in sorted(set(starts)):
        chosen = [i for i, here in enumerate(starts) if here == start]
        yield start, chosen, [rendered[i].ids for i in chosen]
