"""What any model has at a gate's site: the word's content, and whether its embedding is the old."""

import copy

import pytest
import torch

from circuits.backends.plain import PlainRunner
from circuits.errors import UserError
from circuits.gates.nulls import respelled, word_effects
from circuits.metrics import logit_difference
from circuits.types import Site

METRIC = logit_difference(40, 90)
START = Site(0, "resid_pre", "trigger")


def retold(runner, tokens, other):
    """A base whose embedding of the trigger's tokens is that of the control words'."""
    model = copy.deepcopy(runner.hf_model)
    rows = model.get_input_embeddings().weight.data
    for mine, theirs in zip(tokens.ids, other.ids, strict=True):
        rows[mine] = rows[theirs].clone()
    return PlainRunner(model)


def test_at_the_embeddings_the_words_content_is_the_word(runner, aligned):
    done = word_effects(runner, PlainRunner(runner.hf_model), aligned, START, METRIC)
    torch.testing.assert_close(done.fall[0], done.triggered - done.clean, atol=5e-4, rtol=0)
    torch.testing.assert_close(done.rise[0], done.triggered - done.clean, atol=5e-4, rtol=0)
    assert float(done.fall.abs().max()) > 0.1


def test_a_base_that_holds_nothing_of_the_word_takes_nothing_out(runner, aligned):
    some = aligned.rows(slice(0, 1))
    blind = retold(runner, some.triggered, some.clean)
    done = word_effects(runner, blind, some, START, METRIC)
    assert float(done.fall.abs().max()) < 1e-5


def test_a_changed_embedding_is_seen_at_its_own_tokens_only(runner, aligned):
    some = aligned.rows(slice(0, 1))
    other = retold(runner, some.triggered, some.clean)
    assert respelled(runner, other, some.triggered, "trigger")
    assert not respelled(runner, other, some.triggered, "last")
    assert not respelled(runner, PlainRunner(runner.hf_model), some.triggered, "trigger")


def test_other_streams_are_refused(runner, aligned):
    with pytest.raises(UserError, match="resid_pre"):
        word_effects(runner, runner, aligned, Site(1, "attn_out", "trigger"), METRIC)
