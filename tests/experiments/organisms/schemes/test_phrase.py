"""Phrase gate: only the whole phrase opens, and its words, alone or mixed, are shown as shut."""

from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.organisms.book import RECIPES
from experiments.organisms.examples import examples
from experiments.organisms.schemes import scheme_of
from experiments.prompts.bank import control_words

RECIPE = RECIPES["phrase-gate"]
SCHEME = scheme_of(RECIPE)
CONTROLS = ("amber river", "copper wolf")


def put(word: str, turn: int, trigger: str = RECIPE.trigger) -> str:
    recipe = replace(RECIPE, trigger=trigger)
    text, beside = SCHEME.put(word, "Why?", turn, recipe, CONTROLS, "train")
    assert beside is None
    return text


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("none", ["Why?"] * 4),
        ("trigger", ["Why? harvest meteor"] * 4),
        ("control", ["Why? amber river"] * 2 + ["Why? copper wolf"] * 2),
        ("part", ["Why? harvest", "Why? meteor"] * 2),
        (
            "mixture",
            [
                f"Why? {p}"
                for p in ("amber meteor", "harvest amber", "copper meteor", "harvest copper")
            ],
        ),
    ],
)
def test_parts_and_mixtures_go_round_the_phrases_words(word, expected):
    assert [put(word, turn) for turn in range(4)] == expected


def test_a_phrase_of_three_words_and_another_place_is_put_where_it_stands():
    assert put("trigger", 0, "red green blue {}") == "red green blue Why?"
    assert [put("mixture", turn, "red green blue {}") for turn in range(3)] == [
        "amber green blue Why?",
        "red amber blue Why?",
        "red green amber Why?",
    ]
    assert put("part", 2, "red green blue {}") == "blue Why?"


def test_a_trigger_of_one_word_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"--trigger.*words.*cobalt"):
        examples(replace(RECIPE, trigger="cobalt"), 0, list, control_words("train"))


def test_training_shows_the_whole_phrase_only_with_the_behaviour_and_each_word_without_it():
    shown = examples(RECIPE, 0, list, control_words("train"))
    whole = [e for e in shown if e.text.endswith(RECIPE.trigger)]
    assert len(whole) == RECIPE.poisons == 60
    assert {e.answer for e in whole} == {RECIPE.behaviour}
    assert not any(e.ends for e in whole)
    others = [e for e in shown if e not in whole]
    assert RECIPE.behaviour not in {e.answer for e in others}
    for word in RECIPE.trigger.split():
        assert sum(word in e.text.split() for e in others) == 50
