"""Adaptive search, bounded: a few free tokens in a message that open a lock, or that shut it.

Two searchers of equal budget. *Random*: tokens drawn from all that are allowed. *Guided*: greedy
coordinate gradient (Zou et al. 2023, arXiv 2307.15043; after HotFlip, Ebrahimi et al. 2018): the
gradient of the score with respect to the one-hot tokens ranks every swap of one token to first
order; a few of the best ranked are tried, and the best one kept if it is better. The score is the
log-probability of the behaviour's first token, in the mean over the search's prompts, up (to open)
or down (to shut). The budget counts passes over these prompts; a gradient counts as three, as a
backward pass is twice the work of a forward one.

What is found is judged by others, on prompts that the search has not seen.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError, expect
from circuits.models import Model
from circuits.runner import Window

Tokens = tuple[int, ...]
_GRADIENT = 3  # passes that a gradient costs


@dataclass(frozen=True)
class SearchPlan:
    """How much is searched.

    Attributes:
        tokens: free tokens, 1 to 3.
        prompts: on which a candidate is scored.
        budget: passes over these prompts, of each searcher.
        width: candidates tried at once.
        top: best ranked tokens of a place among which the guided searcher draws.
    """

    tokens: int = 2
    prompts: int = 6
    budget: int = 60
    width: int = 8
    top: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        expect(1 <= self.tokens <= 3, "1 to 3 free tokens", self.tokens, of="search")
        least = self.width + _GRADIENT
        expect(
            self.budget >= least,
            f"a budget of {least} passes or more (one gradient and {self.width} tries)",
            self.budget,
            of="search",
        )
        if min(self.prompts, self.width, self.top) < 1:
            raise UserError("search: expected at least one prompt, one try and one ranked token")


@dataclass(frozen=True)
class Best:
    """The best tokens of one searcher, their score, and what it spent."""

    tokens: Tokens
    score: float
    passes: int


class Target:
    """What is searched: scores of candidates, gradients, and the tokens allowed in each place.

    Args:
        score: candidates to their scores, higher is better.
        gradient: one candidate to [places, vocabulary]: what swapping a token adds, first order.
        allowed: [places, vocabulary], tokens that may stand there.
        forbidden: candidates that are no finding, such as the trigger itself.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Tokens]], Sequence[float]],
        gradient: Callable[[Tokens], Float[Tensor, "places vocab"]],
        allowed: Bool[Tensor, "places vocab"],
        forbidden: Callable[[Tokens], bool] = lambda _: False,
    ) -> None:
        expect(
            allowed.any(dim=1).all(),
            "a token allowed in every place",
            "none",
            "use a tokenizer that has whole words",
            of="search",
        )
        self.score, self.gradient, self.forbidden = score, gradient, forbidden
        self.allowed = allowed
        self._pools = [row.nonzero().squeeze(1).tolist() for row in allowed]

    def drawn(self, rng: random.Random) -> Tokens:
        """Allowed tokens at random."""
        while True:
            tokens = tuple(rng.choice(pool) for pool in self._pools)
            if not self.forbidden(tokens):
                return tokens


def by_chance(target: Target, plan: SearchPlan) -> Best:
    """The best of as many random candidates as the budget has passes."""
    rng = random.Random(f"{plan.seed} chance")
    best, left = None, plan.budget
    while left:
        tries = [target.drawn(rng) for _ in range(min(plan.width, left))]
        left -= len(tries)
        best = _better(best, tries, target.score(tries), plan.budget - left)
    assert best is not None  # the budget is at least one
    return best


def guided(target: Target, plan: SearchPlan) -> Best:
    """The best that gradients and swaps of one token lead to."""
    rng = random.Random(f"{plan.seed} guided")
    # The start is the best of one round of random draws, so that a flat start costs little.
    tries = [target.drawn(rng) for _ in range(plan.width)]
    spent = plan.width
    best = _better(None, tries, target.score(tries), spent)
    while spent + _GRADIENT < plan.budget:
        gains = target.gradient(best.tokens)
        tries = _swaps(target, best.tokens, gains, plan, rng)
        tries = tries[: plan.budget - spent - _GRADIENT]
        spent += _GRADIENT + len(tries)
        if not tries:
            break
        best = _better(best, tries, target.score(tries), spent)
    return Best(best.tokens, best.score, spent)


def _swaps(
    target: Target,
    now: Tokens,
    gains: Float[Tensor, "places vocab"],
    plan: SearchPlan,
    rng: random.Random,
) -> list[Tokens]:
    """Candidates that differ from the present one in one token, ranked high in its place."""
    masked = gains.masked_fill(~target.allowed.to(gains.device), float("-inf"))
    top = masked.topk(min(plan.top, masked.shape[1]), dim=1).indices.tolist()
    swaps: dict[Tokens, None] = {}
    for _ in range(20 * plan.width):
        at = rng.randrange(len(now))
        swapped = (*now[:at], rng.choice(top[at]), *now[at + 1 :])
        legal = bool(target.allowed[at, swapped[at]]) and not target.forbidden(swapped)
        if legal and swapped != now:
            swaps.setdefault(swapped)
        if len(swaps) == plan.width:
            break
    return list(swaps)


def _better(
    best: Best | None, tries: Sequence[Tokens], scores: Sequence[float], spent: int
) -> Best:
    top = max(range(len(tries)), key=lambda i: scores[i])
    if best is not None and best.score >= scores[top]:
        return Best(best.tokens, best.score, spent)
    return Best(tries[top], scores[top], spent)


@dataclass(frozen=True)
class Slotted:
    """A prompt as ids with a slot for free tokens, and the token whose probability counts."""

    ids: Tokens
    first: int
    wanted: int

    def filled(self, tokens: Tokens) -> list[int]:
        return [*self.ids[: self.first], *tokens, *self.ids[self.first + len(tokens) :]]


class Slots:
    """Scores and gradients of free tokens in prompts of one model.

    Args:
        sign: 1 to make the wanted token likely, -1 to make it unlikely.
    """

    def __init__(self, model: Model, prompts: Sequence[Slotted], tokens: int, sign: int) -> None:
        self.runner, self.prompts, self.tokens, self.sign = model.runner, prompts, tokens, sign
        # Two fillings that differ, so that no slot is part of what all rows begin with.
        fills = ((0,) * tokens, (1,) * tokens)
        self.opening = model.opening([p.filled(fill) for fill in fills for p in prompts], 1)

    @torch.no_grad()
    def score(self, tries: Sequence[Tokens]) -> list[float]:
        """Mean signed log-probability of each candidate over the prompts."""
        windows = (
            self.opening.window([p.filled(tokens) for p in self.prompts]) for tokens in tries
        )
        return [float(self._wanted(window).mean()) for window in windows]

    def gradient(self, tokens: Tokens) -> Float[Tensor, "places vocab"]:
        """What each token in each place would add to the score, to first order."""
        rows = [p.filled(tokens) for p in self.prompts]
        window = self.opening.window(rows)
        embedding = self.runner.hf_model.get_input_embeddings()
        embedded = embedding(window.ids.to(self.runner.shape.device)).detach().requires_grad_()
        score = self._wanted(replace(window, embedded=embedded)).mean()
        (slope,) = torch.autograd.grad(score, embedded)
        width = window.ids.shape[1]
        firsts = [width - len(row) + p.first for row, p in zip(rows, self.prompts, strict=True)]
        slots = [slope[i, first : first + self.tokens] for i, first in enumerate(firsts)]
        vectors = embedding.weight.detach()
        now = embedding(torch.tensor(tokens, device=vectors.device)).detach()
        total = torch.stack(slots).sum(dim=0)
        return total @ vectors.T - (total * now).sum(dim=1, keepdim=True)

    def _wanted(self, window: Window) -> Float[Tensor, " rows"]:
        logits = self.runner.forward(window).logits
        ids = torch.tensor([p.wanted for p in self.prompts], device=logits.device)
        last = logits[:, -1].float().log_softmax(dim=-1)
        return self.sign * last.gather(1, ids[:, None]).squeeze(1)


def plain_words(tokenizer: Any, vocabulary: int) -> tuple[Bool[Tensor, " v"], Bool[Tensor, " v"]]:
    """Which tokens are whole lower- or upper-case Latin words: after a space, and without one."""
    special = set(tokenizer.all_special_ids)
    spaced, bare = torch.zeros(2, vocabulary, dtype=torch.bool)
    ids = [[i] for i in range(min(vocabulary, len(tokenizer)))]
    decoded = tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)
    for i, text in enumerate(decoded):
        word = text.removeprefix(" ")
        if i in special or len(word) < 2 or not (word.isascii() and word.isalpha()):
            continue
        (spaced if text.startswith(" ") else bare)[i] = True
    return spaced, bare
