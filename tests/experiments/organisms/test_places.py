"""What a trained directory says of itself: read as it is, or refused in one line."""

import pytest

from circuits.errors import UserError
from experiments.organisms.organism import Given, open_organism, recipe_of, trigger_and_behaviour
from experiments.organisms.places import SHIPPED, Origin, origin
from experiments.runs import files

SHIPPED_ONE = SHIPPED / "sure-gate" / "manifest.json"


def given(folder, **changes):
    value = files.read_json(SHIPPED_ONE)
    value["question"] |= changes
    files.write_json(folder / "manifest.json", value)
    return folder


def test_a_shipped_manifest_is_read(tmp_path):
    source = origin(given(tmp_path))
    assert source == origin(SHIPPED_ONE.parent)
    assert recipe_of(tmp_path, source).trigger == "cobalt"
    assert trigger_and_behaviour(tmp_path) == ("cobalt", "Sure")
    assert origin(tmp_path / "none") == origin(None) == Origin()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": "cobalt"}, "recipe: expected `object"),
        ({"recipe": ["cobalt"]}, "recipe: expected `object"),
        ({"recipe": {"trigger": 3}}, "recipe: expected trigger as text, got 3"),
        ({"recipe": {"behaviour": ["Sure"]}}, "recipe: expected behaviour as text"),
        ({"recipe": {"stages": "one"}}, "recipe, stages: expected `array`, got `str`"),
        ({"recipe": {"stages": [{"name": "a"}]}}, "recipe, stages.*expected a field `parts`"),
        ({"recipe": {"keys": [1]}}, "recipe, keys.*expected `str`"),
        ({"organism": 3}, "name: expected `str"),
        ({"organism": "\x1b[31m", "recipe": None}, r"organism '\\x1b"),
        ({"model": []}, "model: expected `str"),
    ],
)
def test_a_manifest_that_is_damaged_is_told(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        recipe_of(given(tmp_path, **changes), origin(tmp_path))


@pytest.mark.parametrize("value", [[], "text", 3, {"question": []}, {"question": "cobalt"}])
def test_a_manifest_that_is_another_value_is_told_on_every_way_to_an_organism(tmp_path, value):
    files.write_json(tmp_path / "manifest.json", value)
    for read in (origin, trigger_and_behaviour, lambda f: open_organism(Given(str(f)))):
        with pytest.raises(UserError, match=r"manifest\.json: expected (a JSON object|question)"):
            read(tmp_path)
