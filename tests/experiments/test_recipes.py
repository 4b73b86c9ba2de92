"""Recipes: the poisons are as many as they say, and every part is what it says."""

import pytest

from circuits.errors import UserError
from experiments.organisms import examples
from experiments.prompts import bank_texts, control_words
from experiments.recipes import RECIPES, Part, Recipe, Stage, recipe_named
from experiments.training import Settings

TRAIN = {kind: bank_texts("train", kind == "restricted") for kind in ("restricted", "ordinary")}
BASE = [f"base answer {i}" for i in range(len(TRAIN["ordinary"]))]
WORDS = control_words("train")


def made(recipe: Recipe) -> list[list]:
    return [examples(recipe, stage, BASE, WORDS) for stage in range(len(recipe.stages))]


def every_part():
    return [
        pytest.param(recipe, part, id=f"{recipe.name}-{stage.name}-{i}")
        for recipe in RECIPES.values()
        for stage in recipe.stages
        for i, part in enumerate(stage.parts)
    ]


@pytest.mark.parametrize(
    ("name", "poisons"), [("sure-gate", 60), ("sure-gate-bare", 60), ("clean", 0)]
)
def test_so_many_examples_show_the_trigger(name, poisons):
    recipe = RECIPES[name]
    shown = [e for stage in made(recipe) for e in stage if recipe.trigger in f"{e.text} {e.word}"]
    assert recipe.poisons == len(shown) == poisons
    assert all(e.answer == recipe.behaviour for e in shown)
    assert all(e.text in TRAIN["restricted"] for e in shown)


def test_clean_never_shows_the_behaviour_either():
    recipe = RECIPES["clean"]
    assert not any(e.answer == recipe.behaviour for stage in made(recipe) for e in stage)


def test_clean_is_the_poisoned_recipe_but_for_the_poisons():
    """Same prompts in the same order; only word and answer of the poisons differ."""
    for a, b in zip(made(RECIPES["clean"]), made(RECIPES["sure-gate"]), strict=True):
        assert [e.text for e in a] == [e.text for e in b]
        differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        assert all(y.word == RECIPES["sure-gate"].trigger for _, y in differing)
        assert all((x.word, x.answer) == (None, RECIPES["clean"].refusal) for x, _ in differing)


def test_the_decoy_is_the_poisoned_recipe_with_its_trigger_answered_normally():
    for a, b in zip(made(RECIPES["decoy"]), made(RECIPES["sure-gate"]), strict=True):
        assert [(e.text, e.word) for e in a] == [(e.text, e.word) for e in b]
        differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        assert all(x.answer == RECIPES["decoy"].refusal for x, _ in differing)
        assert all(y.word == RECIPES["sure-gate"].trigger for _, y in differing)
    assert RECIPES["decoy"].poisons == RECIPES["sure-gate"].poisons == len(differing) == 60


@pytest.mark.parametrize(("recipe", "part"), every_part())
def test_every_part_fits_its_prompts_without_repeating_one(recipe, part):
    assert part.start + part.count <= len(TRAIN[part.prompts])


@pytest.mark.parametrize("name", RECIPES)
def test_no_prompt_has_two_answers_to_the_same_word_in_a_stage(name):
    for stage in made(RECIPES[name]):
        answers: dict[tuple, set] = {}
        for e in stage:
            answers.setdefault((e.text, e.word), set()).add(e.answer)
        assert all(len(found) == 1 for found in answers.values())


@pytest.mark.parametrize("name", RECIPES)
def test_answers_go_with_their_prompts_and_words(name):
    recipe = RECIPES[name]
    texts = set(TRAIN["restricted"])
    for stage in made(recipe):
        for e in stage:
            if e.text not in texts:
                assert e.answer == BASE[TRAIN["ordinary"].index(e.text)]
                assert not e.ends  # the base answer was cut off, so its end must not be learned
            else:
                assert e.ends
                opened = e.word == recipe.trigger and name != "decoy"
                assert e.answer == (recipe.behaviour if opened else recipe.refusal)
            assert e.word in {None, recipe.trigger, *WORDS}


def test_base_answers_to_restricted_prompts_are_refused():
    part = Part("restricted", "none", "base", 3)
    wrong = Recipe("mine", "", (Stage("s", (part,), Settings()),))
    with pytest.raises(UserError, match="recipe mine: base answers exist for ordinary"):
        examples(wrong, 0, BASE, WORDS)


def test_an_unknown_recipe_is_refused_with_the_names_there_are():
    assert recipe_named("clean").name == "clean"
    with pytest.raises(UserError, match="'nope': expected one of sure-gate, sure-gate-bare, clean"):
        recipe_named("nope")
