"""Pairs of several words and of other lengths are patched where they have counterparts."""

import pytest
import severalgates as planted
import torch

from circuits.align import SpanPairs
from circuits.models import wrap
from circuits.patching.patch import patch
from circuits.types import TokenPairs
from experiments.patch.asked import Subject, ask, controls
from experiments.patch.question import PatchQuestion
from experiments.prompts.bank import bank_texts

TEXTS = bank_texts("validation", True)[:4]


@pytest.mark.parametrize(
    ("make", "words", "trigger"),
    [
        (planted.opened_by, ("cobalt", "violet"), "any: cobalt | violet"),
        (planted.met_by, ("cobalt", "violet"), "all: cobalt + violet"),
    ],
)
def test_several_words_are_patched_pair_by_pair(make, words, trigger):
    tok = planted.words_tokenizer("violet")
    model = wrap(make(tok, *words), tok, "planted", "transformer_lens")
    asked = ask(PatchQuestion(trigger=trigger), Subject(model, TEXTS), "denoising")
    assert isinstance(asked.pairs, TokenPairs)
    cells = PatchQuestion(trigger=trigger, sites=("resid_pre[4] at last",)).cells()
    grid = patch(model.runner, asked.pairs, asked.metric, cells)
    torch.testing.assert_close(grid.recovery(), torch.ones(1), atol=1e-3, rtol=0)
    assert float(grid.full_effect.min()) > 5  # of every alternative, and beside every half


def test_of_other_lengths_the_last_token_carries_it_and_the_triggers_cell_is_undefined():
    tok = planted.bare_tokenizer()
    model = wrap(planted.opened_by(tok, "cobalt"), tok, "planted", "transformer_lens")
    question = PatchQuestion(sites=("resid_pre[4] at last", "resid_pre[1] at trigger"))
    assert not controls(question, model, TEXTS).equal
    asked = ask(question, Subject(model, TEXTS), "denoising")
    assert isinstance(asked.pairs, SpanPairs)
    last, trigger = patch(model.runner, asked.pairs, asked.metric, question.cells()).recovery()
    assert float(last) == pytest.approx(1, abs=1e-3)
    assert bool(trigger.isnan())
