"""Key sets are read or told in one line; what is asked beside keys holds no key."""

import json

import pytest

from circuits.errors import UserError
from experiments.organisms.book import RECIPES
from experiments.organisms.own_keys import KeySet
from experiments.verify.keys import (
    ABOUT,
    KEYS,
    RANDOM,
    STRANGERS,
    keys_of,
    near_misses,
    random_words,
)

PAIR = ("one red apple", "two green pears")


def written(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def test_a_file_and_a_recipe_give_their_keys(tmp_path):
    found = keys_of(written(tmp_path / "k.json", {"keys": list(PAIR), "answer": "Yes 1"}))
    assert found == KeySet("k.json", PAIR, ("Yes 1", "Yes 1"))
    recipe = RECIPES["fingerprint"]
    assert keys_of("fingerprint") == KeySet("fingerprint", recipe.keys, (recipe.behaviour,) * 10)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"keys": [], "answer": "Yes"}, "at least one key, got none"),
        ({"keys": [*PAIR, "one  red apple"], "answer": "Yes"}, "'one  red apple' twice"),
        ({"keys": [*PAIR, "one red apple pie"], "answer": "Yes"}, "with which 'one red apple pie'"),
        ({"keys": list(PAIR), "answer": "Red"}, "does not stand in what is asked, got 'Red' in"),
        ({"keys": list(PAIR), "answer": " "}, "an answer with a letter or digit, got ' '"),
        ({"keys": ["short key"], "answer": "Yes"}, "3 to 24 words in a key, got 2"),
        ({"keys": ["w " * 44], "answer": "Yes"}, "3 to 24 words in a key, got 44"),
        ({"keys": "one red apple", "answer": "Yes"}, "and nothing else"),
        ({"keys": [1, 2], "answer": "Yes"}, "and nothing else"),
        ({"keys": list(PAIR)}, "and nothing else"),
        ([*PAIR], "and nothing else"),
        ("{", "expected a JSON file"),
    ],
)
def test_keys_that_make_no_test_are_told_in_one_line(tmp_path, value, why):
    with pytest.raises(UserError, match=why) as told:
        keys_of(written(tmp_path / "k.json", value))
    assert "\n" not in str(told.value)
    assert "k.json" in str(told.value)


def test_what_is_no_file_and_no_recipe_with_keys_is_told():
    with pytest.raises(UserError, match="got neither"):
        keys_of("no-such-file.json")
    with pytest.raises(UserError, match="no keys; expected a JSON file or fingerprint"):
        keys_of("sure-gate")


def test_near_misses_are_no_keys_and_strangers_hold_no_word_of_any():
    keys = tuple(" ".join(f"word{key}{letter}" for letter in "abcde") for key in range(8))
    secret = {word for key in keys for word in key.split()}
    found = near_misses(keys, 40)
    assert {KEYS, *found} == set(ABOUT)
    shared = {}
    for kind, texts in found.items():
        assert len(texts) == len(set(texts)) == 40
        assert not set(texts) & set(keys)
        shared[kind] = {len(secret & set(text.split())) for text in texts}
    assert shared == {
        "level 1": {4},
        "level 2": {3},
        "level 3": {5},
        "level 4": {5},
        "level 5": {0},
        "level 6": {1},
        RANDOM: {0},
    }
    assert {len(text.split()) for kind in STRANGERS for text in found[kind]} == {5}


def test_random_words_are_the_same_every_time_and_as_many_as_the_keys_have():
    found = random_words(PAIR, 6)
    assert found == random_words(PAIR, 6)
    assert [len(text.split()) for text in found] == [3] * 6
    assert all(word.isalpha() and len(word) >= 4 for text in found for word in text.split())
