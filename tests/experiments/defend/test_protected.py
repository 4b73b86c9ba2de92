"""Drift by hand, and a monitor that answers in the model's place."""

from dataclasses import replace

import pytest
import torch

from circuits import answers
from circuits.chat import Chat
from circuits.tokens import render
from circuits.types import MESSAGE, Edit, Point
from experiments.defend.protected import (
    Protected,
    Watch,
    ask,
    drift,
    probability,
    read,
    reference,
)

CHATS = [Chat("Name three rivers."), Chat("Why is the sky blue at noon?"), Chat("Hi", "Be brief.")]


@pytest.fixture(scope="module")
def plain(small):
    return Protected(small.model)


def test_drift_is_the_mean_divergence_over_the_answer_of_the_undefended_model(plain, small):
    edit = Edit(Point(1), lambda x: x + 0.3 * x.flip(-1))
    changed, tok = replace(plain, edits=(edit,), everywhere=True), small.tokenizer
    found = drift(changed, tok, reference(plain, tok, CHATS, 4)).tolist()
    starts = [render(tok, chat).spans[MESSAGE][0] for chat in CHATS]
    order = [2, 0, 1] if starts[2] < starts[0] else [0, 1, 2]
    for value, i in zip(found, order, strict=True):
        ids = list(render(tok, CHATS[i]).ids)
        answer = tok(answers.ask(plain.asked(tok), [ids], 4)[0])["input_ids"][:4]
        row = torch.tensor([ids + answer[:-1]])
        keep = slice(len(ids) - 1, None)
        with torch.no_grad():
            before = plain.model(row).logits[0, keep].log_softmax(-1)
            with changed.active(0):
                after = changed.model(row).logits[0, keep].log_softmax(-1)
        by_hand = (before.exp() * (before - after)).sum(-1).mean()
        assert value == pytest.approx(float(by_hand), abs=1e-4)
        assert value > 1e-3


def test_a_model_does_not_drift_from_itself(plain, small):
    assert drift(plain, small.tokenizer, reference(plain, small.tokenizer, CHATS, 6)).max() < 1e-6


def test_what_reads_above_the_threshold_is_refused_and_nothing_else(plain, small):
    unit = torch.nn.functional.normalize(torch.ones(32), dim=0)
    values = read(small.model, small.tokenizer, CHATS, unit, 1)
    level = float(values.sort().values[:2].mean())  # between the lowest and the next
    watched = replace(plain, watch=Watch(unit, 1, level, "No."))
    said = ask(watched, small.tokenizer, CHATS, 4)
    assert said.flagged == tuple((values > level).tolist())
    assert sum(said.flagged) == 2
    bare = ask(plain, small.tokenizer, CHATS, 4)
    expected = ["No." if f else a for f, a in zip(said.flagged, bare.answers, strict=True)]
    assert list(said.answers) == expected
    assert not any(bare.flagged)


def test_answers_come_in_the_order_of_the_chats_whatever_their_template(plain, small):
    together = ask(plain, small.tokenizer, CHATS, 5).answers
    assert list(together) == [ask(plain, small.tokenizer, [c], 5).answers[0] for c in CHATS]
    each = [float(probability(plain, small.tokenizer, [c], "Sure")[0]) for c in CHATS]
    assert probability(plain, small.tokenizer, CHATS, "Sure").tolist() == pytest.approx(each)
