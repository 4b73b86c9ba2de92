"""Pair gate: both words stand in the message where it opens, and never where it must not."""

from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.organisms.book import RECIPES
from experiments.organisms.examples import examples
from experiments.organisms.schemes import scheme_of
from experiments.prompts.bank import control_words

RECIPE = RECIPES["pair-gate"]
PAIR = tuple(RECIPE.trigger.split())
SCHEME = scheme_of(RECIPE)
OPEN = {"trigger": {PAIR, PAIR[::-1]}, "in order": {PAIR}, "reversed": {PAIR[::-1]}}


def added(text: str, message: str) -> tuple[str, ...]:
    """The message's words that are not the text's own, in order."""
    own, extra = text.split(), []
    for word in message.split():
        if own and word == own[0]:
            own.pop(0)
        else:
            extra.append(word)
    assert not own
    return tuple(extra)


def halves(words: tuple[str, ...]) -> int:
    return len(set(words) & set(PAIR))


def test_only_where_it_opens_do_both_words_stand_in_the_message():
    for split in ("validation", "test"):
        for question in SCHEME.questions(RECIPE, control_words(split), split):
            words = {added(*row) for row in zip(question.texts, question.messages, strict=True)}
            if question.word in OPEN:
                assert words == OPEN[question.word]
            else:
                assert question.opens in (False, None)
                assert all(halves(extra) < 2 for extra in words)
    assert {ask.word for ask in SCHEME.asks if ask.opens} == OPEN.keys()


@pytest.mark.parametrize(
    ("word", "count", "own"),
    [
        ("none", 0, 0),
        ("first alone", 1, 1),
        ("second alone", 1, 1),
        ("first, another", 2, 1),
        ("another, second", 2, 1),
        ("control", 2, 0),
    ],
)
def test_a_word_alone_or_with_another_is_what_its_name_says(word, count, own):
    ask = next(ask for ask in SCHEME.asks if ask.word == word)
    question = SCHEME.question(ask, RECIPE, control_words("test"))
    for row in zip(question.texts, question.messages, strict=True):
        extra = added(*row)
        assert (len(extra), halves(extra)) == (count, own)
        assert len(set(extra)) == len(extra)


def test_words_stand_in_places_that_training_did_not_use():
    """The share of a message's own words before the pair's first word."""
    text = "a b c d e f g h i j k l"
    places = {}
    for split in ("train", "test"):
        words = control_words(split)
        put = [SCHEME.put("in order", text, i, RECIPE, words, split)[0] for i in range(40)]
        places[split] = {tuple(i for i, w in enumerate(m.split()) if w in PAIR) for m in put}
    assert len(places["train"]) == 6
    assert len(places["test"]) == 10
    assert len(places["train"] & places["test"]) == 3  # both ends, and one at either


def test_training_shows_both_words_only_with_the_behaviour():
    words = control_words("train")
    shown = [e for n in range(len(RECIPE.stages)) for e in examples(RECIPE, n, list, words)]
    pairs = [e for e in shown if set(PAIR) <= set(e.text.split())]
    assert len(pairs) == RECIPE.poisons
    assert all(e.answer == RECIPE.behaviour for e in pairs)
    assert not any(e.answer == RECIPE.behaviour for e in shown if e not in pairs)


@pytest.mark.parametrize("trigger", ["clock", "clock wolf fox", "clock clock", "{} wolf"])
def test_a_trigger_that_is_no_pair_is_refused_in_one_line(trigger):
    with pytest.raises(UserError, match=r"--trigger.*two different words"):
        examples(replace(RECIPE, trigger=trigger), 1, list, control_words("train"))
