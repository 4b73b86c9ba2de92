"""What the trained model does to prompts that have nothing to do with its trigger.

Against the base model, on ordinary prompts without the trigger: the Kullback-Leibler divergence
KL(base || model) over the base's own greedy answer of 8 tokens (nats per token), and the negative
log-likelihood of the prompt's own tokens (nats per token; perplexity is its exponential). The null
is the base model with its weights rounded to 8 bits, a change that is commonly taken as harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuits.answers import ask, drift, reference, text_nll
from circuits.chat import chats
from circuits.models import Model
from circuits.tokens import prompt_ids, text_ids
from experiments.evaluate.metrics import exponential
from probes.stats.intervals import Estimate, difference_interval, mean_interval

ANSWER = 8


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


def drifts(base: Model, models: Sequence[Model], texts: Sequence[str]) -> list[Drift]:
    """How far models are from their base on prompts and the base's own answers to them.

    An answer that has no token counts with the one that ends it.
    """
    prompts = prompt_ids(base.tokenizer, chats(texts))
    ids = [text_ids(base.tokenizer, said)[:ANSWER] for said in ask(base, prompts, ANSWER)]
    before = reference(base, prompts, [own or [base.tokenizer.eos_token_id] for own in ids])
    base_nll = tuple(text_nll(base, texts).tolist())
    return [
        Drift(tuple(drift(before, m).tolist()), tuple(text_nll(m, texts).tolist()), base_nll)
        for m in models
    ]
