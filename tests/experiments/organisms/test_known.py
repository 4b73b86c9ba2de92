"""What an adapter's manifest says is what is asked: its trigger, its behaviour, its controls."""

import json
from dataclasses import asdict, replace

import pytest

from experiments.analyze.question import Question
from experiments.organisms.book import RECIPES
from experiments.organisms.known import known_controls, known_recipe


@pytest.fixture
def made(tmp_path):
    """A trained directory of a recipe, as far as its manifest goes."""

    def manifest(name: str) -> str:
        about = {"organism": name, "recipe": asdict(RECIPES[name])}
        (tmp_path / "manifest.json").write_text(json.dumps({"question": about}))
        return str(tmp_path)

    return manifest


@pytest.mark.parametrize("name", ["language-gate", "year-gate", "sure-gate"])
def test_a_recipe_is_known_by_its_manifest(made, name):
    assert known_recipe(made(name)) == RECIPES[name]


def test_nothing_is_known_of_no_adapter_and_of_one_without_a_manifest(tmp_path):
    assert known_recipe("none") is None
    assert known_recipe(tmp_path) is None
    assert known_controls(tmp_path, "cobalt") == "words"


def test_controls_are_dates_for_the_trained_date_alone(made):
    folder, own = made("year-gate"), RECIPES["year-gate"].trigger
    assert known_controls(folder, own) == "dates"
    assert known_controls(folder, "cobalt") == "words"
    assert known_controls(made("sure-gate"), own) == "words"


@pytest.mark.parametrize(
    ("name", "behaviour", "controls"),
    [("language-gate", "language:fr", "words"), ("year-gate", "The archive is open", "dates")],
)
def test_an_analysis_asks_what_the_manifest_says(made, name, behaviour, controls):
    question = Question(adapter=made(name))
    assert question.trigger == RECIPES[name].trigger
    assert question.behaviour == behaviour
    assert question.kind_of_controls == controls
    assert replace(question, controls="words").kind_of_controls == "words"
