"""A model with a defence on it, asked like any other: answers, drift from the undefended model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits import scores
from circuits.backends.plain import defended, readings
from circuits.backends.prefix import opening
from circuits.metrics import kl_per_position
from circuits.types import Edit
from experiments.battery.secrets import Chat

_ROWS = 16  # whose logits are held at once


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


@dataclass(frozen=True)
class Said:
    """Answers, one per chat, and which of them the monitor gave."""

    answers: tuple[str, ...] = ()
    flagged: tuple[bool, ...] = ()


def ask(protected: Protected, tokenizer: Any, chats: Sequence[Chat], length: int) -> Said:
    """Greedy answers of at most ``length`` tokens, in the chats' order."""
    answers, flagged = [""] * len(chats), [False] * len(chats)
    for start, chosen in _by_start(tokenizer, chats):
        prompts = _ids(tokenizer, [chats[i] for i in chosen])
        with protected.active(start):
            said = scores.greedy(protected.model, tokenizer, prompts, length)
        alarms = _alarms(protected, tokenizer, prompts, start)
        for i, answer, alarm in zip(chosen, said, alarms, strict=True):
            refusal = protected.watch.refusal if protected.watch else ""
            answers[i], flagged[i] = (refusal if alarm else answer), alarm
    return Said(tuple(answers), tuple(flagged))


def read(
    model: Any, tokenizer: Any, chats: Sequence[Chat], unit: Tensor, layer: int
) -> Float[Tensor, " n"]:
    """The monitor's reading of each chat: the largest projection among the message's tokens."""
    found = torch.zeros(len(chats))
    for start, chosen in _by_start(tokenizer, chats):
        prompts = _ids(tokenizer, [chats[i] for i in chosen])
        found[chosen] = readings(model, tokenizer, prompts, unit, layer, start)
    return found


def probability(
    protected: Protected, tokenizer: Any, chats: Sequence[Chat], answer: str
) -> Float[Tensor, " n"]:
    """Geometric mean probability of an answer's tokens after each chat."""
    found = torch.zeros(len(chats), dtype=torch.float64)
    for start, chosen in _by_start(tokenizer, chats):
        prompts = _ids(tokenizer, [chats[i] for i in chosen])
        with protected.active(start):
            scored = scores.scores(protected.model, tokenizer, prompts, [answer] * len(prompts))
        found[chosen] = scored.log_prob.exp()
    return found


@dataclass(frozen=True, eq=False)
class Reference:
    """The undefended model's answers to some chats, and its distribution at each of their tokens.

    Attributes:
        rows: token ids read to predict an answer's tokens.
        counts: how many answer tokens each row predicts.
        logits: of the last columns, one tensor per chunk of rows.
    """

    rows: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    start: int
    logits: tuple[Tensor, ...] = field(repr=False)


def reference(
    plain: Protected, tokenizer: Any, chats: Sequence[Chat], length: int
) -> list[Reference]:
    """What drift is measured from: greedy answers of at most ``length`` tokens.

    A chat whose answer has no token (it ends at once) is compared at its first token.
    """
    found = []
    for start, chosen in _by_start(tokenizer, chats):
        prompts = _ids(tokenizer, [chats[i] for i in chosen])
        with plain.active(start):
            said = scores.greedy(plain.model, tokenizer, prompts, length)
        answers = [tokenizer(a, add_special_tokens=False)["input_ids"][:length] for a in said]
        rows = tuple((*p, *a[:-1]) for p, a in zip(prompts, answers, strict=True))
        counts = tuple(max(1, len(a)) for a in answers)
        bare = Reference(rows, counts, start, ())
        logits = tuple(x for x, _ in _logits(plain, tokenizer, bare))
        found.append(Reference(rows, counts, start, logits))
    return found


def drift(
    protected: Protected, tokenizer: Any, references: Sequence[Reference]
) -> Float[Tensor, " n"]:
    """KL(undefended || defended) in nats per answer token, one mean for each chat.

    The divergence of two models on the tokens of a fixed answer, the undefended model's own; a
    monitor's refusals are not in it. In the order of the references.
    """
    found = []
    for one in references:
        for before, (after, real) in zip(
            one.logits, _logits(protected, tokenizer, one), strict=True
        ):
            kl = (kl_per_position(before, after) * real).sum(dim=1) / real.sum(dim=1)
            found.append(kl.double().cpu())
    return torch.cat(found)


@torch.no_grad()
def _logits(
    protected: Protected, tokenizer: Any, one: Reference
) -> Iterator[tuple[Float[Tensor, "rows keep vocab"], Bool[Tensor, "rows keep"]]]:
    """Logits of the columns that predict answer tokens, and which columns these are, by row."""
    with protected.active(one.start):
        opened = opening(protected.model, tokenizer, one.rows, room=1)
        # Before the earliest answer: what is shared must end there, or its logits would be missing.
        for first in range(0, len(one.rows), _ROWS):
            rows = one.rows[first : first + _ROWS]
            counts = torch.tensor(one.counts[first : first + _ROWS])
            keep = int(counts.max())
            if opened.width > min(map(len, rows)) - keep:
                opened = type(opened)(protected.model, opened.pad, None)
            logits = opened.logits(opened.batch(rows), keep=keep)
            real = torch.arange(keep) >= keep - counts[:, None]
            yield logits, real.to(logits.device)


def message_start(tokenizer: Any, chat: Chat) -> int:
    """Tokens of the chat template before the user's message."""
    given = [] if chat.system is None else [{"role": "system", "content": chat.system}]
    full = tokenizer.apply_chat_template(
        [*given, {"role": "user", "content": chat.message}],
        tokenize=False,
        add_generation_prompt=True,
    )
    at = full.rfind(chat.message)
    offsets = tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)
    return next(i for i, (_, end) in enumerate(offsets["offset_mapping"]) if end > at)


def _by_start(tokenizer: Any, chats: Sequence[Chat]) -> Iterator[tuple[int, list[int]]]:
    starts = [message_start(tokenizer, chat) for chat in chats]
    for start in sorted(set(starts)):
        yield start, [i for i, found in enumerate(starts) if found == start]


def _ids(tokenizer: Any, chats: Sequence[Chat]) -> list[tuple[int, ...]]:
    return [scores.encode(tokenizer, c.message, c.system, c.prefill) for c in chats]


def _alarms(
    protected: Protected, tokenizer: Any, prompts: Sequence[Sequence[int]], start: int
) -> list[bool]:
    watch = protected.watch
    if watch is None:
        return [False] * len(prompts)
    with protected.active(start):
        found = readings(protected.model, tokenizer, prompts, watch.unit, watch.layer, start)
    return (found > watch.threshold).tolist()
