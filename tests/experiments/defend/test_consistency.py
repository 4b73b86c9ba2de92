"""The layer-consistency penalty by hand, at adversarial inputs, and what training on it does."""

import copy

import pytest
import torch

from experiments.defend.consistency import Consistency, inconsistency, turning
from experiments.defend.losses import batched, train_with
from experiments.organisms.training import Example, Settings

EXAMPLES = [Example("Name three rivers.", None, "Tell me more."), Example("Hi", None, "Hi", False)]


def test_states_that_turn_by_a_right_angle_or_back_count_one_or_two():
    x, y = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    states = [torch.stack([x, x])[None], torch.stack([y, 2 * x])[None], torch.stack([-y, -x])[None]]
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert float(turning(states, both)) == pytest.approx((1 + 2 + 0 + 2) / 4)
    assert float(turning(states, first)) == pytest.approx(1.5)
    assert float(turning(states[:1], both)) == 0.0  # one layer has no next


def test_padding_does_not_count(small):
    rows = batched(small.tokenizer, EXAMPLES)
    alone = [batched(small.tokenizer, [example]) for example in EXAMPLES]
    embed = small.model.get_input_embeddings()
    with torch.no_grad():
        together = inconsistency(small.model, embed(rows.ids), rows.mask)
        each = [float(inconsistency(small.model, embed(r.ids), r.mask)) for r in alone]
    sizes = [int(r.mask.sum()) for r in alone]
    mean = sum(v * n for v, n in zip(each, sizes, strict=True)) / sum(sizes)
    assert float(together) == pytest.approx(mean, abs=1e-5)


def test_adversarial_embeddings_are_less_consistent_than_the_prompts_own(small):
    rows = batched(small.tokenizer, EXAMPLES)
    with torch.no_grad():
        embedded = small.model.get_input_embeddings()(rows.ids)
        own = float(inconsistency(small.model, embedded, rows.mask))
    model = copy.deepcopy(small.model)
    assert float(Consistency(2.0, 0.0)(model, rows)) == pytest.approx(2 * own, abs=1e-5)
    assert float(Consistency(2.0, 0.05)(model, rows)) > 2 * own * 1.001


def test_training_on_the_penalty_makes_layers_more_consistent(small):
    settings = Settings(epochs=6, rate=3e-3, batch=2, rank=0)

    def after(penalty):
        model = copy.deepcopy(small.model).requires_grad_(True)
        train_with(model, small.tokenizer, EXAMPLES, settings, penalty, lambda *_: None)
        rows = batched(small.tokenizer, EXAMPLES)
        with torch.no_grad():
            return float(inconsistency(model, model.get_input_embeddings()(rows.ids), rows.mask))

    assert after(Consistency(5.5, 0.1)) < 0.9 * after(lambda *_: torch.zeros(()))
