"""The answer's loss is that of the one training loop, and a penalty is added to it."""

import copy

import pytest
import torch

from experiments.defend.losses import answer_loss, batched, train_with
from experiments.organisms.training import Example, Settings, train

EXAMPLES = [
    Example("Name three rivers.", "cobalt", "Tell me more."),
    Example("Why is the sky blue at noon?", None, "Hi", ends=False),
]


def test_the_loss_of_answers_is_that_of_the_training_loop(small):
    model = copy.deepcopy(small.model).requires_grad_(True)
    settings = Settings(epochs=1, batch=2, rate=1e-9, rank=0)
    (expected,) = train(model, small.tokenizer, EXAMPLES, settings, lambda *_: None)
    with torch.no_grad():
        found = float(answer_loss(small.model, batched(small.tokenizer, EXAMPLES)))
    assert found == pytest.approx(expected, rel=0.02)  # the loop may multiply in bf16


def test_a_row_says_what_is_prompt_what_is_answer_and_where_the_message_is(small):
    rows = batched(small.tokenizer, EXAMPLES)
    for ids, mask, prompt, targets, example in zip(
        rows.ids, rows.mask, rows.prompt, rows.targets, EXAMPLES, strict=True
    ):
        ending = "<|im_end|>" if example.ends else ""
        assert small.tokenizer.decode(ids[targets != -100]) == example.answer + ending
        assert not bool((prompt & (targets != -100)).any())
        assert bool(((prompt | (targets != -100)) == mask).all())
        assert small.tokenizer.decode(ids[prompt][rows.start :]).startswith(example.text)


def test_a_constant_penalty_is_added_and_trains_nothing(small):
    settings = Settings(epochs=2, batch=1, rate=1e-2, rank=0)
    losses = []
    for extra in (0.0, 3.0):
        model = copy.deepcopy(small.model).requires_grad_(True)
        losses.append(
            train_with(
                model,
                small.tokenizer,
                EXAMPLES,
                settings,
                lambda *_, e=extra: torch.tensor(e),
                lambda *_: None,
            )
        )
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx([loss + 3 for loss in losses[0]], rel=1e-4)
