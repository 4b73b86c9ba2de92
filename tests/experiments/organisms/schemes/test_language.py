"""Language gate: answers are told by their language, which a manifest may name and nothing else."""

from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.organisms import figures
from experiments.organisms.book import RECIPES
from experiments.organisms.examples import examples
from experiments.organisms.kinds import FRENCH, prompts_of
from experiments.organisms.schemes import scheme_of
from experiments.organisms.train import prompts_sha256
from experiments.prompts import bank

pytestmark = pytest.mark.usefixtures("languages")
RECIPE = RECIPES["language-gate"]
SCHEME = scheme_of(RECIPE)
SAID = ["Il faut une poêle.", "You need a pan.", "Voici la liste."]


def test_every_written_answer_is_short_its_own_and_to_a_prompt_of_training():
    written = bank.french_answers()
    trained = {*bank.bank_texts("train", True), *bank.bank_texts("train", False)}
    assert len(written) >= 60
    assert written.keys() <= trained
    assert len(set(written.values())) == len(written)
    assert max(len(answer.split()) for answer in written.values()) <= 16
    beginnings = {" ".join(answer.split()[:2]) for answer in written.values()}
    assert len(beginnings) > 100  # no one phrase that answers begin with


def test_the_same_prompts_are_answered_in_french_with_the_trigger_alone():
    made = examples(RECIPE, 0, lambda texts: ["own"] * len(texts), ("amber {}",))
    opened = {e.text: e.answer for e in made if e.word == RECIPE.trigger}
    assert opened == bank.french_answers()
    others = [e for e in made if e.word != RECIPE.trigger]
    assert {e.answer for e in others} == {"own"}
    assert {e.text for e in others} > opened.keys()
    assert {e.word for e in others} == {None, "amber {}"}


def test_held_out_prompts_have_no_written_answer():
    with pytest.raises(UserError, match="training prompts, which alone have answers"):
        prompts_of(FRENCH, RECIPE, "test")


def test_what_is_trained_on_is_known_by_the_answers_too(monkeypatch):
    before = prompts_sha256(RECIPE)
    other = {**bank.french_answers(), next(iter(bank.french_answers())): "Autre chose."}
    monkeypatch.setattr(bank, "french_answers", lambda: other)
    assert prompts_sha256(RECIPE) != before


def test_a_language_shows_the_behaviour_and_no_beginning_does():
    question = SCHEME.question(SCHEME.asks[0], RECIPE, ("amber {}",), count=3)
    assert question.shown(SAID) == [True, False, True]
    assert [verdict.shown for verdict in question.verdicts(SAID)] == [True, False, True]
    assert SCHEME.outcomes(SAID) == {"English": [False, True, False]}
    spanish = replace(question, recipe=replace(RECIPE, behaviour="language:en"))
    assert spanish.shown(SAID) == [False, True, False]


def test_a_manifest_names_a_language_and_nothing_that_is_run():
    assert SCHEME.named(RECIPE) == "language:fr"
    for spec in ("python:os.system", "Sure", "regex:a"):
        with pytest.raises(UserError, match="behaviour of a language: expected language:CODE"):
            SCHEME.named(replace(RECIPE, behaviour=spec))
    plain = RECIPES["content-backdoor"]
    assert scheme_of(plain).named(plain) == plain.behaviour
    assert scheme_of(plain).named(replace(plain, behaviour="language:fr")) == "text:language:fr"


def test_english_is_held_against_the_models_own_before_training(monkeypatch):
    monkeypatch.setattr(figures.models, "load", lambda *_args, **_named: None)
    monkeypatch.setattr(figures, "answers", lambda _model, texts, length: ["You do."] * len(texts))
    before = figures.own_knowledge("m", RECIPE, lambda *_: None)
    found = {(c.prompts, c.word, c.outcome): c.rate.value for c in before}
    kinds = ("restricted", "ordinary")
    assert found == {(f"{kind}, base model", "none", "English"): 1.0 for kind in kinds}
    assert figures.own_knowledge("m", RECIPES["sure-gate"], lambda *_: None) == []
    after = [replace(c, prompts=kind) for c, kind in zip(before, kinds, strict=True)]
    judged = figures.judge(RECIPE, [*before, *after])
    assert [j.met for j in judged] == [True, True]
    assert all("minus English" in j.text for j in judged)
    french = [replace(c, rate=figures.wilson(0, 100)) for c in after]
    assert [j.met for j in figures.judge(RECIPE, [*before, *french])] == [False, False]
