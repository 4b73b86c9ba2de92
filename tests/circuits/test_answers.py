"""Harm: nothing for an edit that does nothing, and what plain passes say for one that does."""

import pytest
import tiny
import torch

from circuits import answers
from circuits.answers import no_edits, text_nll
from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.models import Model
from circuits.runner import whole
from circuits.tokens import prompts_batch, render
from circuits.types import Edit, Point
from experiments import judges
from experiments.analyze.harm import harm


@pytest.fixture
def model(runner, tokenizer) -> Model:
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(runner, tokenizer, "built", "", None, None, passed)


def doubled(tokens):
    return [Edit(Point(2), lambda x: 2 * x, tokens.spans["message"], onward=True)]


def unchanged(_tokens):
    return [Edit(Point(2), lambda x: x.clone())]


@pytest.mark.parametrize("edits", [no_edits, doubled])
@pytest.mark.parametrize("word", [None, tiny.TRIGGER])
def test_the_likelihood_is_that_of_the_users_own_tokens(model, tokenizer, edits, word):
    """One prompt at a time, token by token, with the span found by the renderer."""
    found = text_nll(model, tiny.TEXTS, word, edits)
    for value, text in zip(found.tolist(), tiny.TEXTS, strict=True):
        batch = prompts_batch(tokenizer, [text], word)
        log_probs = model.runner.forward(whole(batch), edits(batch), keep=batch.width).logits
        log_probs = log_probs[0].log_softmax(dim=-1)
        first, last = render(tokenizer, text, word).spans["user"]
        each = [-float(log_probs[i - 1, batch.ids[0, i]]) for i in range(first, last)]
        assert value == pytest.approx(sum(each) / len(each), abs=1e-3)


def test_a_word_after_the_text_does_not_count(model):
    torch.testing.assert_close(
        text_nll(model, tiny.TEXTS), text_nll(model, tiny.TEXTS, tiny.TRIGGER), atol=1e-3, rtol=0
    )


def test_the_size_of_the_passes_does_not_matter(monkeypatch, model):
    once = text_nll(model, tiny.TEXTS, None, doubled)
    monkeypatch.setattr(answers, "_LOGITS", 1)
    torch.testing.assert_close(text_nll(model, tiny.TEXTS, None, doubled), once, atol=1e-3, rtol=0)


def test_a_model_that_expects_everything_alike_has_the_vocabularys_perplexity(tokenizer):
    from planted import planted

    plant = planted(tokenizer).runner
    plant.hf_model.lm_head.weight.data.zero_()
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    flat = Model(plant, tokenizer, "built", "", None, None, passed)
    expected = torch.full((6,), float(torch.tensor(len(tokenizer)).log()))
    torch.testing.assert_close(text_nll(flat, tiny.TEXTS), expected)


def test_an_edit_that_changes_nothing_does_no_harm_and_another_one_does(model, monkeypatch):
    said = []

    def refuses(answer: str) -> bool:
        said.append(answer)
        return len(said) % 2 == 0

    seen = []
    none = harm(model, tiny.TEXTS, unchanged, 3, progress=lambda a, b: seen.append((a, b)))
    assert none.kl.high < 1e-5
    assert none.nll_change.value == pytest.approx(0, abs=1e-6)
    assert none.perplexity_ratio == pytest.approx(1)
    assert none.refusal_change.value == 0
    assert seen[-1] == (5, 5)
    monkeypatch.setattr(judges, "refuses", refuses)
    some = harm(model, tiny.TEXTS, doubled, 3)
    assert some.kl.value > 1e-3
    assert abs(some.nll_change.value) > 1e-3
    assert said[: len(tiny.TEXTS)] == answers.answers(model, tiny.TEXTS, length=3)
    assert said[len(tiny.TEXTS) :] == answers.answers(model, tiny.TEXTS, None, 3, doubled)
    assert some.refused.value == some.refused_after.value == 0.5
    before = text_nll(model, tiny.TEXTS)
    assert some.nll.value == pytest.approx(float(before.mean()), rel=1e-4)


def test_new_refusals_are_counted_in_pairs(model, monkeypatch):
    flags = iter([False] * 5 + [True] + [True] * 4 + [False] * 2)
    monkeypatch.setattr(judges, "refuses", lambda _answer: next(flags))
    found = harm(model, tiny.TEXTS, doubled, 2)
    assert found.refused.value == pytest.approx(1 / 6)
    assert found.refused_after.value == pytest.approx(4 / 6)
    assert found.refusal_change.value == pytest.approx(3 / 6)  # four new ones, one gone
    assert found.refusal_change.low < found.refusal_change.value < found.refusal_change.high
