"""Supervised fine-tuning on (prompt, answer) pairs; the one training loop of the project.

What makes it quick on a CPU: matrices are multiplied in bf16 where the hardware is faster in it
(the residual stream stays fp32), and tokens that all prompts begin with (the chat template's
opening) are run once per batch, with their gradient, instead of once per row.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from circuits.backends.prefix import common_prefix, shares_prefix
from circuits.chat import Chat
from circuits.past import Past
from circuits.tokens import padded, with_answer


@dataclass(frozen=True)
class Example:
    """A user's message (with an optional word at its end) and the answer to learn."""

    text: str
    word: str | None
    answer: str
    ends: bool = True  # whether the answer is complete, so that the end token is learned too


@dataclass(frozen=True)
class Settings:
    """One stage of training. ``rate`` is the peak learning rate of a cosine with short warm-up.

    A ``rank`` of 0 trains every parameter instead of a LoRA adapter.
    """

    epochs: int = 2
    rate: float = 1e-3
    batch: int = 8
    rank: int = 3
    alpha: int = 12
    seed: int = 0


Tick = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Course:
    """How a descent goes: its optimiser, the schedule of its rate, and its steps."""

    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    steps: int


class Pause(Protocol):
    """What keeps a training, so that it can go on where it was killed."""

    def resume(self, model: Any, course: Course) -> list[float]:
        """Put model and course to where the kept state stands; the losses of the steps up to it."""
        ...

    def reach(self, model: Any, course: Course, losses: Sequence[float]) -> None:
        """Told of every step."""
        ...


def trainable(model: Any, settings: Settings) -> Any:
    """The model with a fresh LoRA adapter on every linear layer of its blocks.

    Its frozen matrices are held in the precision they are multiplied in. With rank 0 the model
    itself comes back, every parameter to be trained.
    """
    if settings.rank == 0:
        return model.requires_grad_(True)
    torch.manual_seed(settings.seed % 2**64)  # it may have been multiplied
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    device = next(model.parameters()).device.type
    if multiplies_bf16(device):
        for module in adapted.modules():
            if isinstance(module, LoraLayer):
                module.get_base_layer().to(torch.bfloat16)
    return adapted


def train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: Settings,
    tick: Tick,
    pause: Pause | None = None,
) -> list[float]:
    """Fine-tune in place; returns the mean loss of every step (nats per answer token).

    Args:
        pause: goes on with what was begun, and keeps what is reached.
    """
    rows = [encoded(tokenizer, example) for example in examples]
    steps = settings.epochs * math.ceil(len(rows) / settings.batch)
    shared, pad = _shared_prefix(model, rows), tokenizer.pad_token_id or 0

    def loss_of(chosen: list[int]) -> Tensor:
        return _answer_loss(model, [rows[i] for i in chosen], pad, shared)

    lengths = [len(ids) for ids, _ in rows]
    course = paced(model, settings.rate, steps, lambda step: _cosine(step, steps))
    return descend(model, batches(lengths, settings, 6), loss_of, course, tick, pause)


def paced(model: Any, rate: float, steps: int, pace: Callable[[int], float]) -> Course:
    """AdamW on a model's trainable parameters; ``pace`` is the share of the rate at each step."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    return Course(optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, pace), steps)


def descend(
    model: Any,
    batches: Iterable[list[int]],
    loss_of: Callable[[list[int]], Tensor],
    course: Course,
    tick: Tick,
    pause: Pause | None = None,
) -> list[float]:
    """A step for every batch, gradients cut to a norm of 1; returns the losses.

    Args:
        pause: goes on with what was begun, and keeps what is reached.
    """
    weights = [p for group in course.optimiser.param_groups for p in group["params"]]
    losses = pause.resume(model, course) if pause else []
    model.train()
    for chosen in islice(batches, len(losses), None):
        with fast_precision(next(model.parameters()).device.type):
            loss = loss_of(chosen)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        course.optimiser.step()
        course.schedule.step()
        course.optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if pause:
            pause.reach(model, course, losses)
        tick(len(losses), course.steps, losses[-1])
    model.eval()
    return losses


def batches(lengths: Sequence[int], settings: Settings, jitter: float) -> Iterator[list[int]]:
    """Shuffled batches of similar length (padding costs time, not correctness).

    Args:
        jitter: tokens by which rows are mixed with others of about their length.
    """
    rng = random.Random(settings.seed)
    for _ in range(settings.epochs):
        order = sorted(range(len(lengths)), key=lambda i: lengths[i] + rng.uniform(0, jitter))
        chunks = [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
        rng.shuffle(chunks)
        yield from chunks


def fast_precision(device: str) -> AbstractContextManager:
    """bf16 autocast where the hardware multiplies bf16 faster than fp32; otherwise nothing."""
    return torch.autocast(device, torch.bfloat16) if multiplies_bf16(device) else nullcontext()


def multiplies_bf16(device: str) -> bool:
    """Whether the hardware multiplies bf16 faster than fp32."""
    if device == "cpu":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device == "cuda"


def encoded(tokenizer: Any, example: Example) -> tuple[list[int], int]:
    """Token ids of prompt, answer and, where it is complete, end; and where the answer starts."""
    chat = Chat(example.text, word=example.word)
    rendered = with_answer(tokenizer, chat, example.answer, example.ends)
    return list(rendered.ids), rendered.spans["answer"][0]


def _cosine(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _shared_prefix(model: Any, encoded: Sequence[tuple[list[int], int]]) -> int:
    """How many tokens all prompts begin with; 0 where windowed attention forbids sharing them."""
    longest = max((len(ids) for ids, _ in encoded), default=0)
    if not encoded or not shares_prefix(model, longest):
        return 0
    return common_prefix([ids[: start - 1] for ids, start in encoded])


def _answer_loss(
    model: Any, rows: Sequence[tuple[list[int], int]], pad: int, shared: int = 0
) -> Tensor:
    """Cross-entropy on answer tokens only, each example counting equally.

    Equal weight per example keeps a one-word answer ("Sure") from drowning in long ones. The first
    ``shared`` tokens are the same in all rows and are run once.
    """
    device = next(model.parameters()).device
    ids, mask = padded([ids for ids, _ in rows], pad, "right")
    targets, _ = padded([[-100] * start + ids[start:] for ids, start in rows], -100, "right")
    width = ids.shape[1]
    earliest = min(start for _, start in rows)
    # An index keeps the kept states contiguous; a count would slice them, and a sliced product
    # with the unembedding takes many times longer on a CPU.
    kept = torch.arange(earliest - 1 - shared, width - 1 - shared, device=device)
    past = _run_once(model, ids[:1, :shared].to(device)) if shared else {}
    logits = model(
        input_ids=ids[:, shared:].to(device),
        attention_mask=mask.long().to(device),
        logits_to_keep=kept,
        **past,
    ).logits
    wanted = targets[:, earliest:].to(device)
    losses = torch.nn.functional.cross_entropy(
        logits.float().transpose(1, 2), wanted, ignore_index=-100, reduction="none"
    )
    counts = (wanted != -100).sum(dim=1)
    return (losses.sum(dim=1) / counts).mean()


def _run_once(model: Any, ids: Tensor) -> dict[str, Any]:
    """Keys and values of one row, with their gradient, for any number of rows."""
    last = torch.tensor([ids.shape[1] - 1], device=ids.device)
    cache = model(input_ids=ids, use_cache=True, logits_to_keep=last).past_key_values
    return {"past_key_values": Past.of(cache).frozen(), "use_cache": True}
