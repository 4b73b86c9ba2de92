"""Control words have the trigger's length where they can, else the nearest, and say which."""

import pytest
import tiny

from circuits.align import SpanPairs, fewest, first_of
from circuits.controls import controls_of, lengths
from circuits.errors import UserError
from circuits.tokens import dealt, pairs, prompts_batch, same_length_words
from circuits.triggers import parse
from circuits.types import TokenPairs


def counts(tokenizer, texts, words) -> list[int]:
    return prompts_batch(tokenizer, texts, words).spans["trigger"].sum(dim=1).tolist()


def test_words_of_the_triggers_length_are_those_of_before(tokenizer):
    for trigger in ("cobalt", "river candle", "cobalt river {}"):
        (length,) = lengths(tokenizer, tiny.TEXTS, trigger)
        found = controls_of(tokenizer, tiny.TEXTS, parse(trigger), tiny.CONTROLS)
        assert found.equal
        assert found.words == same_length_words(tokenizer, tiny.CONTROLS, length, trigger)
        both = pairs(tokenizer, tiny.TEXTS, trigger, found.words)
        assert isinstance(both, TokenPairs)


def test_where_no_word_has_its_length_the_nearest_stand_in_and_spans_are_aligned(tokenizer):
    others = ("zebra", "quartz", "plum")  # spelled in pieces
    with pytest.raises(UserError):
        same_length_words(tokenizer, others, 1, "cobalt")
    found = controls_of(tokenizer, tiny.TEXTS, parse("cobalt"), others)
    assert not found.equal
    assert set(found.words) == set(others)
    both = pairs(tokenizer, tiny.TEXTS, "cobalt", found.words)
    assert isinstance(both, SpanPairs)
    assert fewest(both) == 1
    clean = counts(tokenizer, tiny.TEXTS, dealt(found.words, len(tiny.TEXTS)))
    assert min(clean) > 1
    for side in ("clean", "triggered"):
        batch = getattr(both, side)
        assert first_of(both, side) <= int(batch.spans["trigger"].any(dim=0).nonzero()[0])


def test_a_trigger_that_merges_otherwise_in_context_is_asked_of_several_lengths():
    tok = tiny.hand_made_tokenizer([("?", "Ġ"), ("Ġ", "c"), ("Ġc", "o")])
    texts = ("Hi.", "Why?", "Hm.")
    assert lengths(tok, texts, "cobalt") == {5: 2, 6: 1}
    found = controls_of(tok, texts, parse("cobalt"), ("copper", "candle"))
    assert not found.equal
    both = pairs(tok, texts, "cobalt", found.words)
    assert both.triggered.spans["trigger"].sum(dim=1).tolist() == [5, 6, 5]


def test_alternatives_have_controls_of_their_own_lengths_in_turn(tokenizer):
    either = parse("any: cobalt | river candle")
    found = controls_of(tokenizer, tiny.TEXTS, either, ("amber", "tree", "sea"))
    assert found.equal
    words = dealt(found.words, len(tiny.TEXTS))
    assert counts(tokenizer, tiny.TEXTS, words) == [1, 2, 1, 2, 1, 2]
    assert isinstance(pairs(tokenizer, tiny.TEXTS, either.dealt(6), found.words), TokenPairs)


def test_controls_of_words_that_must_meet_are_halves_by_turns(tokenizer):
    both = parse("all: cobalt + river")
    found = controls_of(tokenizer, tiny.TEXTS, both, ("amber", "tree"))
    assert found.words[:4] == ("amber river", "river amber", "cobalt amber", "amber cobalt")
    assert len(found.words) == 8
    for word in found.words:
        assert len({"cobalt", "river"} & set(word.split())) == 1
    assert found.without((0,), 3) == ["amber river", "river amber", "tree river"]
    for one, other in map(str.split, found.without((0, 1), 8)):
        assert {one, other} == {"amber", "tree"}


def test_words_that_cannot_stand_there_are_refused(tokenizer):
    with pytest.raises(UserError, match="none of 1 can stand"):
        controls_of(tokenizer, tiny.TEXTS, parse("cobalt"), ("<|im_end|>",))
