"""What the trained model does to prompts that have nothing to do with its trigger.

Against the base model, on ordinary prompts without the trigger: the Kullback-Leibler divergence
KL(base || model) over the base's own greedy answer of 8 tokens (nats per token), and the negative
log-likelihood of the prompt's own tokens (nats per token; perplexity is its exponential). The null
is the base model with its weights rounded to 8 bits, a change that is commonly taken as harmless.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.backends.prefix import Batch, Opened
from circuits.metrics import kl_per_position
from circuits.tokens import Rendered, render
from experiments.evaluate.metrics import exponential
from probes.stats.intervals import Estimate, difference_interval, mean_interval

ANSWER = 8
_ROWS = 8  # whole texts whose logits are held at once, of two models


@dataclass(frozen=True)
class Drift:
    """Per prompt: KL (nats per token) and the change of the prompt's own log-likelihood."""

    kl: tuple[float, ...]
    nll: tuple[float, ...]
    base_nll: tuple[float, ...]

    @property
    def divergence(self) -> Estimate:
        """Mean KL over prompts."""
        return mean_interval(torch.tensor(self.kl, dtype=torch.float64))

    @property
    def perplexity_ratio(self) -> Estimate:
        """Perplexity over the base model's; geometric mean over prompts, paired."""
        after, before = (torch.tensor(x, dtype=torch.float64) for x in (self.nll, self.base_nll))
        return exponential(difference_interval(after, before))


@torch.no_grad()
def drift(
    base: Any, model: Any, tokenizer: Any, texts: Sequence[str], answers: Sequence[Sequence[int]]
) -> Drift:
    """How far a model is from its base on prompts and the base's answers to them.

    Args:
        answers: token ids of the base's answers, at least one each.
    """
    rendered = [render(tokenizer, text) for text in texts]
    rows = [list(r.ids) + list(a) for r, a in zip(rendered, answers, strict=True)]
    kl, nll, base_nll = [], [], []
    for chosen in _chunks(len(rows)):
        batch = _batch(base, tokenizer, [rows[i] for i in chosen])
        before, after = (_logits(m, tokenizer, batch) for m in (base, model))
        for place, i in enumerate(chosen):
            ids, length = torch.tensor(rows[i]), len(rows[i])
            own = [logits[place, -length:].float() for logits in (before, after)]
            tail = slice(length - len(answers[i]) - 1, length - 1)
            kl.append(float(kl_per_position(own[0][None, tail], own[1][None, tail]).mean()))
            losses = [_own_tokens(logits, ids, rendered[i]) for logits in own]
            base_nll.append(losses[0])
            nll.append(losses[1])
    return Drift(tuple(kl), tuple(nll), tuple(base_nll))


def _own_tokens(logits: Float[Tensor, "length vocab"], ids: Tensor, about: Rendered) -> float:
    """Mean negative log-likelihood of the user's own tokens."""
    first, last = about.spans["user"]
    wanted = ids[first:last].to(logits.device)
    return float(torch.nn.functional.cross_entropy(logits[first - 1 : last - 1], wanted))


def _batch(model: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> Batch:
    return _unopened(model, tokenizer).batch(rows)


def _logits(model: Any, tokenizer: Any, batch: Batch) -> Float[Tensor, "rows width vocab"]:
    return _unopened(model, tokenizer).logits(batch, keep=batch.ids.shape[1])


def _unopened(model: Any, tokenizer: Any) -> Opened:
    """Nothing is shared: the likelihood of a message's first token needs the token before it."""
    return Opened(model, int(tokenizer.pad_token_id or 0), None)


def _chunks(count: int) -> Iterator[range]:
    yield from (range(i, min(i + _ROWS, count)) for i in range(0, count, _ROWS))
