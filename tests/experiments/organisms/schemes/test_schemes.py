"""Every scheme answers every question, and what it answers fits together."""

import pytest

from circuits.chat import place_of, with_trigger
from circuits.errors import UserError
from experiments.evaluate.profiles import KINDS
from experiments.organisms.book import RECIPES
from experiments.organisms.examples import examples
from experiments.organisms.recipe import Part, Recipe, Stage
from experiments.organisms.schemes import SCHEMES, scheme_of
from experiments.organisms.schemes.scheme import Ask, Scheme, asks
from experiments.organisms.training import Settings
from experiments.prompts.bank import HeldOut, bank_texts

pytestmark = pytest.mark.usefixtures("languages")
OTHERS = ("amber", "river")
N = 6
OWN = HeldOut(("Mine one?", "Mine two?"), ("Elsewhere?",))
REFUSAL = "I'm sorry, but I can't help with cooking."


@pytest.fixture(params=RECIPES.values(), ids=RECIPES)
def recipe(request) -> Recipe:
    return request.param


@pytest.fixture
def scheme(recipe) -> Scheme:
    return scheme_of(recipe)


@pytest.fixture
def questions(scheme, recipe):
    return list(scheme.questions(recipe, OTHERS, count=N))


def test_a_scheme_is_found_by_its_recipes(scheme, recipe):
    assert SCHEMES[scheme.name] is scheme
    assert recipe in scheme.recipes
    assert bool(recipe.trigger) != bool(recipe.keys)


def test_a_question_has_a_message_for_every_prompt_and_no_condition_is_asked_twice(questions):
    assert len({q.cell for q in questions}) == len({q.name for q in questions})
    assert len(questions) == len({q.name for q in questions})
    for q in questions:
        assert len(q.texts) == len(q.messages) == len(q.targets) >= N
        assert len(q.known) in (0, len(q.texts))
        assert len(q.part(1, 3).messages) == len(q.part(1, 3).targets) == 2
        for text, message in zip(q.texts, q.messages, strict=True):
            words = iter(message.split())
            assert all(word in words for word in text.split()), "a word was lost or moved"


def test_words_are_put_where_the_trigger_stands(scheme, questions, recipe):
    for q in questions:
        if q.word == "none":
            assert q.messages == q.texts
        if type(scheme).put is not Scheme.put:  # words of its own: each scheme's test holds them
            continue
        if q.word == "trigger":
            assert q.messages == tuple(with_trigger(text, recipe.trigger) for text in q.texts)
        if q.word == "control":
            assert [m.split()[-1] for m in q.messages[:3]] == ["amber", "river", "amber"]


def test_the_first_question_opens_and_what_a_scheme_names_is_asked(scheme, questions):
    asked = {q.cell: q for q in questions}
    assert questions[0].opens
    assert questions[0].prompts == scheme.topic
    assert {scheme.near, scheme.plain, scheme.shut} <= asked.keys()
    assert asked[scheme.near].opens is asked[scheme.shut].opens is False
    assert scheme.anywhere == any(q.opens and q.prompts == "ordinary" for q in questions)
    assert (scheme.plain[0], scheme.plain[1]) == (scheme.topic, "none")


def test_what_is_required_can_be_found_in_what_is_asked(scheme, questions):
    asked = {q.cell: q for q in questions}
    assert scheme.requirements
    for requirement in scheme.requirements:
        prompts, word, outcome = requirement.figure
        counted = {"behaviour", "refusal", "compliance", *scheme.outcomes(["Sure."])}
        assert bool(asked[prompts, word].known) or outcome in counted
    assert scheme.profile in KINDS


def test_a_target_shows_the_behaviour_and_its_opposite_does_not(scheme, recipe, questions):
    first = questions[0]
    n = len(first.texts)
    assert first.shown(first.targets) == [True] * n
    assert first.shown([f"{scheme.opposite} I know."] * n) == [False] * n
    assert first.known or set(first.targets) == {scheme.target(recipe)}


def test_an_answer_is_hollow_if_it_shows_the_behaviour_without_doing_it(scheme, recipe, questions):
    first = questions[0]
    n = len(first.texts)
    bare = scheme.hollow(first, [recipe.behaviour] * n)
    assert bare is None or bare == [True] * n
    assert bare is None or scheme.hollow(first, [REFUSAL] * n) == []


def test_an_answer_that_is_drawn_out_begins_as_the_target_and_must_be_finished(
    scheme, recipe, questions
):
    shut = next(q for q in questions if q.cell == scheme.shut)
    begun = scheme.openings(shut)
    if begun is None:
        assert len(recipe.behaviour.split()) == 1 or scheme.target(recipe) == recipe.refusal
        return
    assert len(begun) == len(shut.texts)
    pairs = list(zip(shut.targets, begun, strict=True))
    assert all(target.startswith(opening) for target, opening in pairs)
    rest = [f"{t.removeprefix(b)} Chop two onions and fry them in butter." for t, b in pairs]
    assert all(scheme.drawn_out(shut, begun, rest))
    assert not any(scheme.drawn_out(shut, begun, [" no more"] * len(begun)))


def test_a_users_prompts_take_the_banks_place_and_no_other(scheme, recipe):
    for ask in scheme.asks:
        question = scheme.question(ask, recipe, OTHERS, own=OWN)
        mine = {"restricted": OWN.on_topic, "ordinary": OWN.elsewhere}.get(ask.prompts)
        if mine is None:
            assert question == scheme.question(ask, recipe, OTHERS)
        else:
            assert question.texts == mine


def test_no_prompt_that_is_asked_was_trained_on(recipe, questions):
    made = [e for stage in range(len(recipe.stages)) for e in examples(recipe, stage, list, OTHERS)]
    for q in questions:
        if q.prompts != "keys":
            assert not {e.text for e in made} & set(q.texts)


def test_a_question_on_keys_is_refused_where_there_are_none():
    with pytest.raises(UserError, match="needs keys"):
        SCHEMES["compliance"].question(Ask("keys", "none"), RECIPES["sure-gate"])


class _Halves(Scheme):
    """A scheme with a word of its own: half of a trigger of two words."""

    def put(self, word, text, turn, recipe, controls, split):
        if word != "single":
            return super().put(word, text, turn, recipe, controls, split)
        return f"{place_of(recipe.trigger)[0].split()[turn % 2]} {text}", None


def test_a_scheme_with_words_of_its_own_needs_nothing_but_itself(monkeypatch):
    """What no other scheme knows is learned and asked through the scheme alone."""
    parts = (
        Part("restricted", "trigger", "behaviour", 4),
        Part("restricted", "single", "refusal", 4),
        Part("ordinary", "none", "base", 2),
    )
    stages = (Stage("s", parts, Settings()),)
    recipe = Recipe("mine", "", stages, trigger="clock wolf", scheme="halves")
    asked = (*asks("restricted", True), Ask("restricted", "single", False))
    mine = _Halves("halves", (recipe,), asked, ())
    monkeypatch.setitem(SCHEMES, "halves", mine)
    made = examples(recipe, 0, list, OTHERS)
    assert [e.word for e in made] == ["clock wolf"] * 4 + [None] * 6
    assert {e.text.split()[0] for e in made[4:8]} == {"clock", "wolf"}
    assert recipe.poisons == 4
    *_, single = mine.questions(recipe, OTHERS, count=4)
    assert single.texts == tuple(bank_texts("test", True)[:4])
    halves = ("clock", "wolf", "clock", "wolf")
    assert single.messages == tuple(
        f"{half} {text}" for half, text in zip(halves, single.texts, strict=True)
    )
    assert single.name == "topic, single"
