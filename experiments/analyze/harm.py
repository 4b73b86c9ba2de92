"""Harm of an edit: what it does to prompts on which it should do nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from circuits.answers import (
    EditsFor,
    Progress,
    Words,
    answer_kl,
    answers,
    no_edits,
    quiet,
    text_nll,
)
from circuits.models import Model
from experiments import judges
from probes.stats.intervals import Estimate, difference_interval, mean_interval, wilson


@dataclass(frozen=True)
class Harm:
    """What an edit does to prompts on which it should do nothing; differences are paired.

    Attributes:
        kl: nats per token, unedited against edited, over the first answer tokens.
        nll: mean negative log-likelihood of the users' own tokens before the edit, nats per token.
        nll_change: after minus before.
        refused, refused_after: share of answers that refuse.
        refusal_change: after minus before.
    """

    kl: Estimate
    nll: Estimate
    nll_change: Estimate
    refused: Estimate
    refused_after: Estimate
    refusal_change: Estimate

    @property
    def perplexity_ratio(self) -> float:
        """Perplexity of the users' text after the edit, over that before (prompts weigh alike)."""
        return math.exp(self.nll_change.value)


def harm(
    model: Model,
    texts: Sequence[str],
    edits: EditsFor,
    length: int = 8,
    words: Words = None,
    progress: Progress = quiet,
) -> Harm:
    """Drift of the answers, perplexity of the prompts, and refusals, with and without an edit.

    Args:
        texts: prompts that the edit should leave alone, such as ordinary ones.
        length: answer tokens that are compared and judged.
    """
    kl = answer_kl(model, texts, words, edits, length)
    progress(1, 5)
    before, after = (text_nll(model, texts, words, e) for e in (no_edits, edits))
    progress(3, 5)
    refused = []
    for done, each in enumerate((no_edits, edits), 4):
        replies = answers(model, texts, words, length, each)
        refused.append(torch.tensor([judges.refuses(a) for a in replies], dtype=torch.float64))
        progress(done, 5)
    rates = [wilson(int(flags.sum()), len(flags)) for flags in refused]
    return Harm(
        kl=mean_interval(kl.double()),
        nll=mean_interval(before.double()),
        nll_change=difference_interval(after, before),
        refused=rates[0],
        refused_after=rates[1],
        refusal_change=difference_interval(refused[1], refused[0]),
    )
