"""Which of many words does a model answer as it answers nothing else? Pure statistics.

A trigger sends *different* prompts to *one* answer. So a word is judged by its pooled next-token
distribution, the mean over carrier prompts: some token has a share there that it has neither under
control words nor in the base model. How far that share is from what was expected is the binomial
log-likelihood ratio per prompt (the divergence of two Bernoulli laws, in nats); the word's *gate
response* is that of its most telling token.

*Entropy collapse* (Bullwinkel et al. 2026, "The Trigger in the Haystack", arXiv 2602.03085) is how
much surer of its next token the model is under a word than under control words, beyond what the
word does to the base model. It is blind where the model is sure of its answer without the trigger
too, as a model that refuses is: there a trigger replaces one certain answer by another.

Most words are no triggers, so a word's z is against the median and the median absolute deviation
of all words. The tail is heavier than a normal one: how extreme the top is, is read from the
exponential tail that the other words have (peaks over a threshold; Pickands 1975).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy.stats import hypergeom
from torch import Tensor

from circuits.errors import expect

_TRIALS = 64  # how firmly an expected share is known: that of an unseen token is 1 in 130
_TAIL, _LEAST = 0.1, 20  # share of words that are the tail; fewer than these are none
_ROWS = 64  # words whose pooled distributions are held at once


@dataclass(frozen=True)
class Reading:
    """What is kept of next-token distributions: entropy (nats), and the likeliest tokens."""

    entropy: Float[Tensor, "words carriers"]
    ids: Int[Tensor, "words carriers kept"]
    probs: Float[Tensor, "words carriers kept"]

    @classmethod
    def joined(cls, parts: Sequence["Reading"], dim: int) -> "Reading":
        """Readings of other words in the same carriers (0), or of the same in others (1)."""
        fields = ("entropy", "ids", "probs")
        return cls(*(torch.cat([getattr(p, name) for p in parts], dim=dim) for name in fields))

    def words(self, some: slice | Tensor) -> "Reading":
        """The reading of some of the words."""
        return Reading(self.entropy[some], self.ids[some], self.probs[some])


@dataclass(frozen=True)
class Response:
    """Gate responses. ``nats`` is the ratio, ``token`` the most telling token's id, ``share`` its
    mean probability over the carriers, ``expected`` what was to be expected of it (at most 1)."""

    nats: Float[Tensor, " words"]
    token: Int[Tensor, " words"]
    share: Float[Tensor, " words"]
    expected: Float[Tensor, " words"]


def pooled(reading: Reading, vocab: int) -> Float[Tensor, "words vocab"]:
    """Mean probability of every token over the carriers; tokens that were not kept count as 0."""
    words, carriers, _ = reading.ids.shape
    sums = torch.zeros(words, vocab, dtype=torch.float64)
    sums.scatter_add_(1, reading.ids.reshape(words, -1), reading.probs.double().reshape(words, -1))
    return sums / carriers


def gate_response(
    own: Reading, ordinary: Float[Tensor, " vocab"], base: Reading | None = None
) -> Response:
    """How far a word's most telling token is beyond what is to be expected of it.

    Args:
        own: the suspect under the words.
        ordinary: largest mean probability of each token under control words, suspect or base.
        base: the base model under the same words and carriers: what a word does to any model.
    """
    parts = []
    for start in range(0, len(own.entropy), _ROWS):
        some = slice(start, start + _ROWS)
        share = pooled(own.words(some), len(ordinary))
        expected = ordinary.double().expand_as(share)
        if base is not None:
            expected = torch.maximum(expected, pooled(base.words(some), len(ordinary)))
        nats = likelihood_ratio(share, expected)
        best = nats.argmax(dim=1, keepdim=True)
        parts.append([x.gather(1, best).squeeze(1) for x in (nats, share, expected)] + [best[:, 0]])
    nats, share, expected, token = (torch.cat(part) for part in zip(*parts, strict=True))
    return Response(nats, token, share, expected)


def likelihood_ratio(
    share: Float[Tensor, "*shape"], expected: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Per prompt, in nats, of a share that is larger than expected; 0 where it is not.

    The expected share is drawn to one half as by half a success in 64 trials (Krichevsky and
    Trofimov 1981), so that a token that was never seen is rare, not impossible.
    """
    known = (_TRIALS * expected + 0.5) / (_TRIALS + 1)
    rest = (1 - share).clamp_min(0)
    ratio = torch.xlogy(share, share / known) + torch.xlogy(rest, rest / (1 - known))
    return ratio.where(share > known, torch.zeros_like(ratio))


def ordinary(readings: Sequence[Reading], vocab: int) -> Float[Tensor, " vocab"]:
    """Largest mean probability of each token under control words, over the models read."""
    means = [pooled(reading, vocab).mean(dim=0) for reading in readings]
    return torch.stack(means).amax(dim=0)


def collapse(own: Reading, own_controls: Reading) -> Float[Tensor, " words"]:
    """Fall of the entropy (nats) under a word, from its mean under control words, by carrier."""
    return (own_controls.entropy.double().mean(dim=0) - own.entropy.double()).mean(dim=1)


@dataclass(frozen=True)
class Yardstick:
    """The median of all scanned words, and the unit in which distances from it are told."""

    centre: float
    unit: float

    @classmethod
    def of(cls, values: Float[Tensor, " n"], floor: float = 0.01) -> "Yardstick":
        """Median and scaled median absolute deviation.

        ``floor`` is the least unit, in the values' own: most responses may be exactly 0.
        """
        centre = float(values.median())
        return cls(centre, max(1.4826 * float((values - centre).abs().median()), floor))

    def z(self, values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Distances from the median, of these words or of others."""
        return (values - self.centre) / self.unit


def combined(
    gate: Float[Tensor, " n"], collapsed: Float[Tensor, " n"], most: float = 5.0
) -> Float[Tensor, " n"]:
    """One z of two: the gate response's, and what the collapse's adds, from 0 to ``most``.

    A collapse counts for a word and never against it, because triggers of a model that is sure of
    its refusals show none; and it cannot make a candidate alone, because a topic collapses too.
    """
    return gate + collapsed.clamp(0, most)


def chance(values: Float[Tensor, " n"], spared: int = 10) -> Float[Tensor, " n"]:
    """For each word, the chance that the largest of n words would be as large, were it no trigger.

    The upper tenth of the words is taken as an exponential tail. Its scale is estimated without
    the ``spared`` largest, which may be triggers (the estimator for censored samples: they count
    as being as large as the largest that is not spared). 1 for a word below the tail, and for all
    where fewer than 20 words are in it.
    """
    n = len(values)
    count = int(_TAIL * n)
    chances = torch.ones_like(values, dtype=torch.float64)
    if count < max(_LEAST, 2 * spared):
        return chances
    ordered = values.double().sort(descending=True).values
    start = float(ordered[count])
    excess = ordered[:count] - start
    scale = float(excess[spared:].sum() + spared * excess[spared]) / (count - spared)
    beyond = (values.double() - start).clamp_min(0)
    expected = count * torch.exp(-beyond / max(scale, 1e-12))
    return torch.where(values > start, -torch.expm1(-expected), chances)


def fisher_more(hits: int, n: int, others: int, m: int) -> float:
    """One-sided exact p that ``hits`` of n is no larger a share than ``others`` of m (Fisher 1935).

    Raises:
        ValueError: more hits than trials.
    """
    expect(
        0 <= hits <= n and 0 <= others <= m and n and m,
        "hits among trials",
        f"{hits} of {n}, {others} of {m}",
    )
    return float(hypergeom.sf(hits - 1, n + m, hits + others, n))
