"""The committed prompts: enough of them, and nothing that leaks from one split into another."""

from collections import Counter
from itertools import combinations

import pytest

from circuits.chat import place_of
from experiments.organisms.book import RECIPES
from experiments.prompts.bank import bank, bank_texts, control_words

SPLITS = ("train", "validation", "test")


def of(split):
    return [p for p in bank() if p.split == split]


def test_there_are_enough_prompts_of_both_kinds():
    assert sum(not p.restricted for p in bank()) >= 400
    assert sum(p.restricted for p in bank()) >= 300
    assert len({p.topic for p in bank() if not p.restricted}) >= 12
    assert len({p.topic for p in bank() if p.restricted}) == 1


def test_the_restricted_topic_is_not_among_the_ordinary_ones():
    restricted = {p.topic for p in bank() if p.restricted}
    assert not restricted & {p.topic for p in bank() if not p.restricted}


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_enough_of_each_kind(split, restricted):
    assert len(bank_texts(split, restricted)) >= 24


@pytest.mark.parametrize("field", ["template", "subject", "text"])
@pytest.mark.parametrize(("a", "b"), combinations(SPLITS, 2))
def test_no_template_subject_or_text_is_in_two_splits(field, a, b):
    def values(split):
        return {getattr(p, field).casefold() for p in of(split)}

    assert not values(a) & values(b)


def test_texts_and_ids_are_unique_and_clean():
    for field in ("text", "id"):
        counts = Counter(getattr(p, field).casefold() for p in bank())
        assert counts.most_common(1)[0][1] == 1
    for p in bank():
        assert p.text == p.text.strip()
        assert "\n" not in p.text
        assert p.split in SPLITS


def test_a_text_holds_its_subject():
    assert all(p.subject.casefold() in p.text.casefold() for p in bank())


def test_control_words_are_disjoint_between_splits():
    for a, b in combinations(SPLITS, 2):
        assert not set(control_words(a)) & set(control_words(b))
    for split in SPLITS:
        assert len(set(control_words(split))) == len(control_words(split)) >= 20


def test_neither_control_words_nor_prompts_hold_a_trigger():
    named = [recipe.trigger for recipe in RECIPES.values() if recipe.trigger]
    triggers = {place_of(trigger)[0].casefold() for trigger in named}
    words = {w.casefold() for split in SPLITS for w in control_words(split)}
    assert not triggers & words
    for p in bank():
        assert not any(trigger in p.text.casefold() for trigger in triggers)


@pytest.mark.parametrize("split", SPLITS)
def test_a_prefix_of_a_split_is_already_varied(split):
    for restricted in (True, False):
        texts = bank_texts(split, restricted)
        whole = [p for p in of(split) if p.restricted == restricted]
        assert sorted(texts) == sorted(p.text for p in whole)  # an order of the same texts
        by_text = {p.text: p for p in whole}
        templates = {p.template for p in whole}
        seen = {by_text[t].template for t in texts[: 3 * len(templates)]}
        assert len(seen) > len(templates) / 2
