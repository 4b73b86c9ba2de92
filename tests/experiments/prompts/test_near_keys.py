"""The ladder of near keys: every level differs from the keys as it says, and the splits apart."""

import pytest

from circuits.errors import UserError
from experiments.organisms.book import recipe_named
from experiments.prompts.bank import bank_texts, control_words
from experiments.prompts.near_keys import LEVELS, near_keys

KEYS = recipe_named("fingerprint").keys
COUNT = 120


def distance(text: str) -> int:
    """To the nearest key, in words replaced; a key's length if the number of words differs."""
    words = text.split()
    return min(
        sum(a != b for a, b in zip(words, key.split(), strict=True))
        for key in KEYS
        if len(key.split()) == len(words)
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_there_are_enough_different_ones_and_none_is_a_key(level, split):
    found = near_keys(KEYS, level, split, COUNT)
    assert len(set(found)) == len(found) >= (60 if level == 3 else COUNT)
    assert not set(found) & set(KEYS)
    assert found == near_keys(KEYS, level, split, COUNT)


@pytest.mark.parametrize(("level", "replaced"), [(1, 1), (2, 2)])
def test_so_many_words_of_a_key_are_replaced_by_the_splits_own(level, replaced):
    for split in ("train", "test"):
        own = set(control_words(split))
        for text in near_keys(KEYS, level, split, COUNT):
            assert distance(text) == replaced
            assert len(set(text.split()) & own) >= 1


def test_the_other_levels_are_what_they_say():
    everything = {word for key in KEYS for word in key.split()}
    orders = near_keys(KEYS, 3, "test", COUNT)
    assert {tuple(sorted(t.split())) for t in orders} <= {tuple(sorted(k.split())) for k in KEYS}
    assert all(set(t.split()) <= everything for t in near_keys(KEYS, 4, "test", COUNT))
    assert not any(set(t.split()) & everything for t in near_keys(KEYS, 5, "test", COUNT))
    questions = bank_texts("test", False)
    for text in near_keys(KEYS, 6, "test", COUNT):
        question, word = text.rsplit(" ", 1)
        assert question in questions
        assert word in everything


@pytest.mark.parametrize("level", LEVELS)
def test_no_two_splits_share_a_near_key(level):
    train, test = (set(near_keys(KEYS, level, split, 400)) for split in ("train", "test"))
    assert not train & test


def test_an_impossible_level_or_count_is_refused():
    with pytest.raises(UserError, match="expected a level of"):
        near_keys(KEYS, 7, "test", 3)
    with pytest.raises(UserError, match="the keys have none of level 3"):
        near_keys(("red",), 3, "test", 5)
