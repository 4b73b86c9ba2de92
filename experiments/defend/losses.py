"""Fine-tuning with a second term in the loss, for which the training loop has no slot.

Loss: cross-entropy on answer tokens, each example counting equally, plus a penalty that may run
the model as it likes. AdamW, the learning rate falling linearly to nothing.
"""

import math
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from circuits.chat import Chat
from circuits.tokens import padded, with_answer
from circuits.types import MESSAGE
from experiments.organisms.organism import Organism
from experiments.organisms.training import Example, Settings, Tick, descend, paced


@dataclass(frozen=True)
class Rows:
    """Examples as right-padded ids.

    Attributes:
        mask: real tokens.
        prompt: tokens of the prompt, template included.
        targets: answer tokens, -100 elsewhere.
        start: template tokens before the user's message.
    """

    ids: Int[Tensor, "rows pos"]
    mask: Bool[Tensor, "rows pos"]
    prompt: Bool[Tensor, "rows pos"]
    targets: Int[Tensor, "rows pos"]
    start: int


Penalty = Callable[[Any, Rows], Tensor]  # a model and a batch to a scalar


def trained_further(
    organism: Organism,
    examples: Sequence[Example],
    settings: Settings,
    penalty: Penalty | None = None,
    around: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
) -> Organism:
    """An organism after more training from where it stands.

    Args:
        penalty: a second term of the loss, if any.
        around: what the model that is trained is put into, such as a defence's edits.
    """
    trainee = organism.trainee()
    trainee.restart(organism.state)
    with around(trainee.model):
        if penalty is None:
            trainee.train(examples, settings, quiet)
        else:
            train_with(trainee.model, trainee.tokenizer, examples, settings, penalty, quiet)
    state = {name: value.float().cpu() for name, value in trainee.state().items()}
    return replace(organism, state=state)


def quiet(_done: int, _total: int, _loss: float) -> None:
    """Show nothing of a training's progress."""


def train_with(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: Settings,
    penalty: Penalty,
    tick: Tick,
) -> list[float]:
    """Train a model's trainable parameters on examples; returns every step's loss."""
    steps = settings.epochs * math.ceil(len(examples) / settings.batch)
    device = next(model.parameters()).device

    def loss_of(chosen: list[int]) -> Tensor:
        rows = batched(tokenizer, [examples[i] for i in chosen], device)
        return answer_loss(model, rows) + penalty(model, rows)

    course = paced(model, settings.rate, steps, lambda step: 1 - step / steps)
    return descend(model, _batches(len(examples), settings), loss_of, course, tick)


def batched(tokenizer: Any, examples: Sequence[Example], device: Any = "cpu") -> Rows:
    """Examples side by side, padded on the right."""
    encoded = [
        with_answer(tokenizer, Chat(e.text, word=e.word), e.answer, e.ends) for e in examples
    ]
    pad, firsts = int(tokenizer.pad_token_id or 0), [r.spans["answer"][0] for r in encoded]
    ids, mask = (part.to(device) for part in padded([r.ids for r in encoded], pad, "right"))
    columns = torch.arange(ids.shape[1], device=device)
    prompt = columns < torch.tensor(firsts, device=device)[:, None]
    start = min(rendered.spans[MESSAGE][0] for rendered in encoded)
    return Rows(ids, mask, prompt, ids.masked_fill(prompt | ~mask, -100), start)


def answer_loss(model: Any, rows: Rows) -> Tensor:
    """Mean over examples of the mean cross-entropy of their answer tokens, in nats."""
    logits = model(input_ids=rows.ids, attention_mask=rows.mask.long(), use_cache=False).logits
    wanted = rows.targets[:, 1:]
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].float().transpose(1, 2), wanted, ignore_index=-100, reduction="none"
    )
    return (losses.sum(dim=1) / (wanted != -100).sum(dim=1)).mean()


def _batches(count: int, settings: Settings) -> list[list[int]]:
    rng = random.Random(settings.seed)
    batches: list[list[int]] = []
    for _ in range(settings.epochs):
        order = rng.sample(range(count), count)
        batches += [order[i : i + settings.batch] for i in range(0, count, settings.batch)]
    return batches
