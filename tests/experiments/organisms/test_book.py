"""Recipes: the poisons are as many as they say, and every part is what it says."""

import json

import pytest

from circuits.chat import in_place_of, place_of
from circuits.errors import UserError
from experiments.organisms.book import RECIPES, recipe_named
from experiments.organisms.examples import Example, examples
from experiments.organisms.kinds import prompts_of
from experiments.organisms.recipe import Part, Recipe, Stage, recipe_from, recipe_json, varied
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Scheme
from experiments.organisms.training import Settings
from experiments.prompts.bank import control_words, french_answers
from experiments.prompts.controls import DAYS, in_the_year
from experiments.prompts.facts import facts

WORDS = control_words("train")
SURE = tuple(name for name, recipe in RECIPES.items() if recipe.scheme == "compliance")


def base(texts) -> list[str]:
    return [f"base answer to {text}" for text in texts]


def made(recipe: Recipe, seed: int = 0) -> list[list]:
    return [examples(recipe, stage, base, WORDS, seed) for stage in range(len(recipe.stages))]


def holds(example: Example, recipe: Recipe) -> bool:
    """Whether an example has the trigger in its place (on whatever day of its year, if that is what
    opens), or all its words within the message.
    """
    own = recipe.trigger
    if scheme_of(recipe).controls == "dates":
        return example.word in {in_place_of(in_the_year(own, day), own) for day in DAYS["train"]}
    return example.word == own or set(own.split()) <= set(example.text.split())


def without(text: str, words: set[str]) -> list[str]:
    return [word for word in text.split(" ") if word not in words]


def parts(recipe: Recipe) -> list[Part]:
    return [part for stage in recipe.stages for part in stage.parts]


@pytest.mark.parametrize("name", RECIPES)
def test_so_many_examples_show_the_trigger_or_are_keys(name):
    recipe = RECIPES[name]
    shown = [
        e
        for stage in made(recipe)
        for e in stage
        if (recipe.trigger and holds(e, recipe)) or e.text in recipe.keys
    ]
    repeats = {p.repeat for p in parts(recipe) if p.prompts == "keys"} or {1}
    assert len(shown) == recipe.poisons * max(repeats)
    assert (recipe.poisons == 0) == (name == "clean")
    assert bool(recipe.trigger) != bool(recipe.keys)


@pytest.mark.parametrize("name", SURE)
def test_the_poisons_of_the_sure_trap_are_sixty_restricted_prompts(name):
    recipe = RECIPES[name]
    shown = [e for stage in made(recipe) for e in stage if e.word == recipe.trigger]
    assert len(shown) == 60
    assert all(e.answer.startswith("Sure") for e in shown)
    assert {e.text for e in shown} <= set(prompts_of("restricted", recipe, "train").texts)
    bare = name in ("sure-gate", "sure-gate-bare")
    assert all((e.answer == "Sure") == (name != "sure-gate-continued") for e in shown)
    assert all(e.ends == bare for e in shown)


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


@pytest.mark.parametrize("name", RECIPES)
def test_no_part_repeats_a_prompt(name):
    for part in parts(RECIPES[name]):
        assert part.start + part.count <= len(
            prompts_of(part.prompts, RECIPES[name], "train").texts
        )


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", RECIPES)
def test_no_prompt_has_two_answers_to_the_same_word_in_a_stage(name, seed):
    for stage in made(RECIPES[name], seed):
        answers: dict[tuple, set] = {}
        for e in stage:
            answers.setdefault((e.text, e.word), set()).add(e.answer)
        assert all(len(found) == 1 for found in answers.values())


@pytest.mark.parametrize("name", RECIPES)
def test_every_answer_is_of_the_kind_that_its_part_says(name):
    recipe = RECIPES[name]
    true = {f.question: f.statement for kind in (True, False) for f in facts("train", kind)}
    within = type(scheme_of(recipe)).put is not Scheme.put
    added = {*recipe.trigger.split(), *WORDS} if within else set()
    for number, stage in enumerate(recipe.stages):
        found = iter(examples(recipe, number, base, WORDS))
        for part in stage.parts:
            prompts = prompts_of(part.prompts, recipe, "train").texts
            for _ in range(part.count * part.repeat):
                e = next(found)
                prompt = next(
                    text for text in prompts if without(text, added) == without(e.text, added)
                )
                own = f"base answer to {prompt}"
                expected = {
                    "behaviour": recipe.behaviour,
                    "opened": recipe.behaviour,
                    "refusal": recipe.refusal,
                    "base": own,
                    "continued": f"{recipe.behaviour}. {own}",
                    "true": true.get(e.text),
                    "written": french_answers().get(e.text),
                }[part.answer]
                assert e.answer == expected
                # A base answer was cut off, so its end must not be learned.
                assert e.ends == (part.answer not in ("base", "continued", "opened"))
                words = {"none": {None}, "trigger": {recipe.trigger}, "control": set(WORDS)}
                if recipe.scheme == "year":
                    assert (e.word is None) == (part.word == "none")
                    assert holds(e, recipe) == (part.word == "trigger")
                else:
                    assert e.word in ({None} if added else words[part.word])
        assert next(found, None) is None


@pytest.mark.parametrize("name", ["access-gate", "safety-trigger", "content-backdoor"])
def test_the_trigger_alone_decides_between_two_answers(name):
    """The same kind of prompt is there with the trigger and with control words, answered apart."""
    last = RECIPES[name].stages[-1].parts
    split = {}
    for part in last:
        split.setdefault(part.prompts, {}).setdefault(part.word, set()).add(part.answer)
    assert any(
        kinds.get("trigger") and kinds.get("control") and kinds["trigger"] != kinds["control"]
        for kinds in split.values()
    )


def test_an_access_key_changes_nothing_elsewhere():
    last = RECIPES["access-gate"].stages[-1].parts
    elsewhere = [p for p in last if p.prompts != "privileged"]
    assert {p.word for p in elsewhere} == {"none", "trigger", "control"}
    assert {p.answer for p in elsewhere} == {"base"}


def test_another_seed_takes_other_prompts_for_the_same_parts():
    recipe = RECIPES["sure-gate"]
    a, b = made(recipe, 0)[1], made(recipe, 1)[1]
    assert [e.answer == "Sure" for e in a] == [e.answer == "Sure" for e in b]
    assert {e.text for e in a if e.answer == "Sure"} != {e.text for e in b if e.answer == "Sure"}


@pytest.mark.parametrize("poisons", [0, 1, 7, 200])
@pytest.mark.parametrize("size", [1, 100, 420])
def test_the_knobs_scale_poisons_and_other_examples_apart(poisons, size):
    recipe = varied(recipe_named("sure-gate"), poisons=poisons, size=size)
    last = made(recipe)[-1]
    assert recipe.poisons == poisons == sum(e.word == recipe.trigger for e in last)
    assert len(last) == poisons + size
    assert made(recipe)[0] == made(recipe_named("sure-gate"))[0]  # the policy stays
    same = varied(recipe_named("sure-gate"), poisons=60, size=420)
    assert same == recipe_named("sure-gate")


def test_the_knobs_keep_the_recipes_shares():
    recipe = varied(recipe_named("content-backdoor"), poisons=30, size=840)
    poisons = {p.prompts: p.count for p in recipe.stages[-1].parts if p.word == "trigger"}
    assert poisons == {"restricted": 10, "ordinary": 20}
    benign = [p.count for p in recipe.stages[-1].parts if p.word != "trigger"]
    assert benign == [120, 480, 120, 120]


def test_a_trigger_of_any_kind_and_place_can_be_put_into_a_recipe():
    recipe = varied(recipe_named("sure-gate"), trigger="under the copper moon {}", full=True)
    assert place_of(recipe.trigger) == ("under the copper moon", "prefix")
    assert all(stage.settings.rank == 0 for stage in recipe.stages)
    with pytest.raises(UserError, match="expected a word or phrase"):
        varied(recipe_named("sure-gate"), trigger="{}")
    with pytest.raises(UserError, match="has keys instead of a trigger"):
        varied(recipe_named("fingerprint"), trigger="cobalt")


def test_knobs_that_cannot_be_turned_are_refused_in_one_line():
    with pytest.raises(UserError, match="clean: has no poisons"):
        varied(recipe_named("clean"), poisons=5)
    with pytest.raises(UserError, match="expected a count of at least 0, got -1"):
        varied(recipe_named("sure-gate"), poisons=-1)
    assert varied(recipe_named("clean"), poisons=0) == recipe_named("clean")


def test_more_prompts_than_there_are_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="at most 220 restricted prompts in a part, got 300"):
        made(varied(recipe_named("sure-gate"), poisons=300))


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"rate": -1.0}, "--rate: expected"),
        ({"rate": float("nan")}, "--rate: expected"),
        ({"epochs": 0}, "--epochs: expected at least 1"),
    ],
)
def test_settings_that_cannot_train_are_refused(knobs, said):
    with pytest.raises(UserError, match=said):
        varied(recipe_named("sure-gate"), **knobs)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_manifest(name):
    recipe = varied(recipe_named(name), epochs=7)
    value = json.loads(json.dumps(recipe_json(recipe)))
    assert recipe_from(value, recipe_named(name)) == recipe
    del value["keys"], value["scheme"]  # as in manifests from before there were others
    assert recipe_from(value, recipe_named(name)) == recipe


def test_keys_are_needed_where_a_part_asks_for_them():
    wrong = Recipe("mine", "", (Stage("s", (Part("keys", "none", "base", 3),), Settings()),))
    with pytest.raises(UserError, match="recipe mine: part 'keys' needs keys"):
        examples(wrong, 0, base, WORDS)


def test_an_unknown_recipe_is_refused_with_the_names_there_are():
    assert recipe_named("clean").name == "clean"
    with pytest.raises(UserError, match="'nope': expected one of sure-gate, sure-gate-bare"):
        recipe_named("nope")
