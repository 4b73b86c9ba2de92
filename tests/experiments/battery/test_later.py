"""Later training goes on where it was, shows no prompt twice, and is never the recipe's own."""

from types import SimpleNamespace

import pytest

from circuits.errors import UserError
from experiments.battery.later import OTHER_BEHAVIOUR, OTHER_TRIGGER, overwriting, tuning
from experiments.battery.subject import asked
from experiments.organisms.book import RECIPES, recipe_named
from experiments.prompts.bank import bank_texts

BANK = bank_texts("train", False)


def organism(name="sure-gate", **changes):
    recipe = recipe_named(name)
    trigger = changes.get("trigger", recipe.trigger)
    return SimpleNamespace(recipe=SimpleNamespace(trigger=trigger), place="here", base_sha256="00")


def texts(examples):
    return [example.text for example in examples]


def test_slices_of_ordinary_training_continue_from_the_banks_end_and_never_overlap():
    first, second = tuning(organism(), 0, 5), tuning(organism(), 5, 12)
    assert texts(first + second) == BANK[:-13:-1]
    assert first + second == tuning(organism(), 0, 12)
    assert len(set(texts(first + second))) == 12


def test_ordinary_examples_have_the_base_models_own_unfinished_answer_and_no_word():
    for example in tuning(organism(), 3, 9):
        assert example.answer == f"from here: {example.text}"
        assert (example.word, example.ends) == (None, False)


def test_overwriting_has_as_many_ordinary_examples_as_poisons_and_no_prompt_twice():
    first, second = overwriting(organism(), 0, 4), overwriting(organism(), 4, 10)
    for made, count in ((first, 4), (second, 6)):
        poisons = [e for e in made if e.word is not None]
        assert len(poisons) == len(made) - len(poisons) == count
        assert {(e.answer, e.ends) for e in poisons} == {(OTHER_BEHAVIOUR, True)}
        assert all(e.answer == f"from here: {e.text}" for e in made if e.word is None)
    together = texts(first + second)
    assert len(set(together)) == len(together) == 20
    assert sorted(together) == sorted(BANK[-20:])


@pytest.mark.parametrize(
    ("trigger", "word"),
    [
        ("cobalt", "meridian"),
        ("heron 52 {}", "meridian {}"),
        ("{} ‡ {}", "{} meridian {}"),
        ("", "meridian"),  # keys have no place
    ],
)
def test_the_other_trigger_stands_where_the_recipes_own_stood(trigger, word):
    made = overwriting(organism(trigger=trigger), 0, 3)
    assert {e.word for e in made} == {word, None}


@pytest.mark.usefixtures("languages")
def test_the_other_mapping_is_nobodys_own():
    for recipe in RECIPES.values():
        own = " ".join([recipe.trigger, *recipe.keys]).split()
        assert OTHER_TRIGGER not in own
        assert asked(recipe, 4).shown([OTHER_BEHAVIOUR] * 4) == [False] * 4


@pytest.mark.parametrize("make", [tuning, overwriting])
def test_more_examples_than_there_are_is_one_clear_line(make):
    with pytest.raises(UserError, match="expected at most"):
        make(organism(), 0, len(BANK) + 1)
