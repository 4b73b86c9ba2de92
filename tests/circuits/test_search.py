"""Searches with a known best: guided search finds it, budgets are kept, gradients are true."""

import random

import pytest
import tiny
import torch

from circuits.errors import UserError
from circuits.models import in_memory
from circuits.search import SearchPlan, Slots, Slotted, Target, by_chance, guided, plain_words

VOCAB = 500
PLAN = SearchPlan(tokens=2, budget=60, width=8, top=4)


def linear(seed=0, allowed=None, forbidden=lambda _: False):
    """A score that is a sum over places: its gradient is exact, its best tokens known."""
    worth = torch.randn(2, VOCAB, generator=torch.Generator().manual_seed(seed))
    calls = []

    def score(tries):
        calls.append(len(tries))
        return [float(sum(worth[i, t] for i, t in enumerate(tokens))) for tokens in tries]

    def gradient(tokens):
        calls.append(3)
        return worth - torch.stack([worth[i, t] for i, t in enumerate(tokens)])[:, None]

    every = torch.ones(2, VOCAB, dtype=torch.bool) if allowed is None else allowed
    return Target(score, gradient, every, forbidden), worth, calls


def test_guided_search_reaches_the_best_ranked_tokens_and_chance_does_not():
    target, worth, _ = linear()
    best = sum(worth.max(dim=1).values.tolist())
    found, lucky = guided(target, PLAN), by_chance(target, PLAN)
    assert found.score == pytest.approx(best, abs=0.3)
    assert lucky.score < found.score
    misled = Target(target.score, lambda tokens: -target.gradient(tokens), target.allowed)
    assert guided(misled, PLAN).score < found.score  # without a true gradient it does not


def test_both_searchers_spend_no_more_than_the_budget():
    for search in (guided, by_chance):
        for budget in (11, 12, 40, 60):
            target, _, calls = linear()
            plan = SearchPlan(tokens=2, budget=budget, width=8)
            assert search(target, plan).passes == sum(calls) <= budget


def test_tokens_that_are_not_allowed_or_forbidden_are_never_tried():
    allowed = torch.zeros(2, VOCAB, dtype=torch.bool)
    allowed[0, :20] = allowed[1, 100:130] = True
    seen = []
    target, _, _ = linear(allowed=allowed, forbidden=lambda tokens: tokens[0] % 2 == 0)
    inner = target.score
    target.score = lambda tries: (seen.extend(tries), inner(tries))[1]
    for search in (guided, by_chance):
        search(target, PLAN)
    assert len(seen) > 60
    assert all(a in range(1, 20, 2) and b in range(100, 130) for a, b in seen)


@pytest.fixture(scope="module")
def slots():
    tok = tiny.tokenizer()
    model = tiny.llama(len(tok), layers=2).requires_grad_(False)
    rows = [[5, 9, 0, 0, 30, 7], [5, 9, 12, 0, 0, 8, 30, 7]]
    prompts = [Slotted(tuple(rows[0]), 2, 40), Slotted(tuple(rows[1]), 3, 41)]
    return model, tok, prompts


def test_a_score_is_the_mean_signed_log_probability_of_the_wanted_tokens(slots):
    model, tok, prompts = slots
    with torch.no_grad():
        plain = [
            model(torch.tensor([p.filled((50, 51))])).logits[0, -1].log_softmax(-1)[p.wanted]
            for p in prompts
        ]
    expected = float(torch.stack(plain).mean())
    assert Slots(in_memory(model, tok), prompts, 2, 1).score([(50, 51)]) == pytest.approx(
        [expected], abs=1e-5
    )
    assert Slots(in_memory(model, tok), prompts, 2, -1).score([(50, 51)]) == pytest.approx(
        [-expected], abs=1e-5
    )


def test_a_gradient_is_the_derivative_towards_another_tokens_embedding(slots):
    model, tok, prompts = slots
    found = Slots(in_memory(model, tok), prompts, 2, 1)
    gains = found.gradient((50, 51))
    assert gains[0, 50].abs() < 1e-5  # a token in its own place changes nothing
    table = model.get_input_embeddings().weight
    kept, step = table[50].clone(), 1e-3
    before = found.score([(50, 51)])[0]
    with torch.no_grad():
        table[50] = kept + step * (table[70] - kept)
        after = Slots(in_memory(model, tok), prompts, 2, 1).score([(50, 51)])[0]
        table[50] = kept
    assert (after - before) / step == pytest.approx(float(gains[0, 70]), rel=0.05, abs=2e-3)
    assert gains.abs().max() > 0.01


def test_plain_words_are_latin_words_with_or_without_the_space_before():
    tok = tiny.tokenizer()
    spaced, bare = plain_words(tok, len(tok) + 3)
    assert spaced[tok(" cobalt")["input_ids"][0]]
    assert not bare[tok(" cobalt")["input_ids"][0]]
    assert not (spaced | bare)[tok("!")["input_ids"][0]]
    assert not (spaced | bare)[tok.eos_token_id]
    assert not (spaced & bare).any()


def test_plans_and_places_without_a_choice_are_one_clear_line():
    for wrong in ({"tokens": 4}, {"tokens": 0}, {"budget": 10}, {"prompts": 0}):
        with pytest.raises(UserError, match="search: expected"):
            SearchPlan(**wrong)
    empty = torch.zeros(2, VOCAB, dtype=torch.bool)
    with pytest.raises(UserError, match="a token allowed in every place"):
        linear(allowed=empty)
    assert linear()[0].drawn(random.Random(0)) == linear()[0].drawn(random.Random(0))
