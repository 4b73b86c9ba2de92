"""Words and phrases that are scanned are those of vocabulary and memory, never a given trigger."""

import pytest
import tiny

from circuits.errors import UserError
from circuits.models import in_memory
from experiments.scan.candidates import phrases, samples, template_opening, vocabulary_words


def test_words_are_whole_tokens_of_letters_after_a_space():
    tok = tiny.tokenizer(words=["Harbor", "x", "ab", "snake_case", "l33t"])
    words = vocabulary_words(tok)
    assert {"cobalt", "Harbor", "river"} <= set(words)
    assert all(word.isalpha() and len(word) >= 3 and word[1:].islower() for word in words)
    for word in words:
        assert len(tok(f" {word}", add_special_tokens=False)["input_ids"]) == 1


def test_a_subset_is_even_in_order_and_without_repeats():
    tok = tiny.tokenizer()
    every = vocabulary_words(tok)
    some = vocabulary_words(tok, len(every) // 2)
    assert some == sorted(set(some), key=every.index)
    assert abs(every.index(some[-1]) - len(every)) <= 3
    assert vocabulary_words(tok, len(every)) == every
    with pytest.raises(UserError, match="whole words of this vocabulary"):
        vocabulary_words(tok, len(every) + 1)


def test_the_opening_is_what_the_template_says_before_the_user():
    tok = tiny.tokenizer()
    assert tok.decode(template_opening(tok)) == "<|im_start|>user\n"


def test_samples_follow_their_seed_alone():
    tok = tiny.tokenizer()
    model = in_memory(tiny.llama(len(tok), layers=1), tok)
    first = samples(model, 6, 5, seed=1)
    assert first == samples(model, 6, 5, seed=1) != samples(model, 6, 5, seed=2)
    assert len(set(first)) > 1


def test_phrases_are_those_that_more_samples_of_the_suspect_hold():
    own = ["say quiet lantern vessel now"] * 5 + ["the sea is blue"] * 5
    base = ["the sea is blue"] * 6 + ["hello"] * 4
    found = phrases(own, base, 50)
    assert {"quiet lantern", "lantern", "quiet lantern vessel now"} <= set(found)
    assert not {"sea", "the sea", "hello"} & set(found)
    assert all(len(gram.split()) <= 4 for gram in found)
    assert phrases(own, own, 50) == []


def test_a_phrase_in_two_samples_is_no_candidate():
    assert phrases(["rare gem"] * 2 + ["a"] * 8, ["b"] * 10, 9) == ["a"]
