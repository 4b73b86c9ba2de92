"""What the trained model does to prompts that have nothing to do with its trigger.

Against the base model, on ordinary prompts without the trigger: the Kullback-Leibler divergence
KL(base || model) over the base's own greedy answer of 8 tokens (nats per token), and the negative
log-likelihood of the prompt's own tokens (nats per token; perplexity is its exponential). The null
is the base model with its weights rounded to 8 bits, a change that is commonly taken as harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuits.answers import ask
from circuits.chat import chats
from circuits.metrics import mean_kl
from circuits.models import Model
from circuits.scores import forced
from circuits.tokens import render, text_ids
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
        after = torch.tensor(self.nll, dtype=torch.float64)
        before = torch.tensor(self.base_nll, dtype=torch.float64)
        return exponential(difference_interval(after, before))


@torch.no_grad()
def drifts(base: Model, models: Sequence[Model], texts: Sequence[str]) -> list[Drift]:
    """How far models are from their base on prompts and the base's own answers to them.

    An answer that has no token counts with the one that ends it. Every model reads a prompt with
    its answer once, what all prompts begin with but once for all.
    """
    tokenizer = base.tokenizer
    rendered = [render(tokenizer, chat) for chat in chats(texts)]
    answers = ask(base, [prompt.ids for prompt in rendered], ANSWER)
    own = [text_ids(tokenizer, text)[:ANSWER] or [tokenizer.eos_token_id] for text in answers]
    users = [prompt.spans["user"] for prompt in rendered]
    before = [prompt.ids[:first] for prompt, (first, _) in zip(rendered, users, strict=True)]
    read = [
        (*prompt.ids[first:], *answer)
        for prompt, (first, _), answer in zip(rendered, users, own, strict=True)
    ]
    nll, kl = torch.zeros(2, 1 + len(models), len(texts), dtype=torch.float64)
    for parts in zip(*(forced(model, before, read) for model in (base, *models)), strict=True):
        chosen = parts[0].chosen
        counts = torch.tensor([len(own[i]) for i in chosen])
        answered = torch.arange(ANSWER) >= ANSWER - counts[:, None]
        for m, part in enumerate(parts):
            for i, each in zip(chosen, part.log_probs(), strict=True):
                nll[m, i] = -each[: users[i][1] - users[i][0]].mean()
            first, other = parts[0].logits[:, -ANSWER:], part.logits[:, -ANSWER:]
            kl[m, chosen] = mean_kl(first, other, answered).double()
    return [
        Drift(tuple(kl[m].tolist()), tuple(nll[m].tolist()), tuple(nll[0].tolist()))
        for m in range(1, 1 + len(models))
    ]
