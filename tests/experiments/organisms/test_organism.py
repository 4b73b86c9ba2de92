"""An organism is what its manifest says; a model with words about it is what they say."""

import shutil
from dataclasses import replace

import pytest

from circuits.errors import UserError
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given, open_organism
from experiments.organisms.recipe import REFUSAL
from experiments.runs import files

WORDS = Given("none", "tiny", "safety", "amber {}", "Sure", "Not that.")


def test_a_plain_model_is_what_the_words_say_without_a_change(folder):
    found = open_organism(replace(WORDS, model=str(folder)))
    recipe = found.recipe
    assert (recipe.scheme, recipe.trigger, recipe.behaviour, recipe.refusal) == (
        "safety",
        "amber {}",
        "Sure",
        "Not that.",
    )
    assert (recipe.stages, recipe.keys, found.place) == ((), (), str(folder))
    assert (found.settings.rank, dict(found.state)) == (0, {})
    assert open_organism(replace(WORDS, model=str(folder), refusal="")).recipe.refusal == REFUSAL


def test_a_directory_without_a_manifest_is_what_the_words_say(folder, adapter):
    found = open_organism(replace(WORDS, name=str(adapter), model=str(folder)))
    assert (found.recipe.trigger, found.recipe.scheme) == ("amber {}", "safety")
    assert (found.place, found.settings.rank) == (str(folder), 2)
    with pytest.raises(UserError, match="expected a manifest that says"):
        open_organism(Given(str(adapter), str(folder)))


def test_a_shipped_organism_and_a_directory_need_no_words(folder, adapter, tmp_path):
    shipped = open_organism(Given("access-gate")).recipe
    book = recipe_named("access-gate")
    told = ("scheme", "trigger", "behaviour", "refusal")
    assert [getattr(shipped, n) for n in told] == [getattr(book, n) for n in told]
    out = shutil.copytree(adapter, tmp_path / "made")
    files.write_json(out / "manifest.json", {"question": {"organism": "fingerprint"}})
    assert (
        open_organism(Given(str(out), str(folder))).recipe.keys == recipe_named("fingerprint").keys
    )


@pytest.mark.parametrize("missing", ["scheme", "trigger", "behaviour"])
def test_words_by_half_are_told_with_what_was_said(missing):
    with pytest.raises(UserError, match=r"--scheme .*--trigger and --behaviour together") as said:
        open_organism(replace(WORDS, **{missing: ""}))
    assert f"'{missing}'" not in str(said.value)
    assert str(said.value).count("': '") == 2


@pytest.mark.parametrize("scheme", ["none", "ownership", "access", "kraken"])
def test_a_scheme_that_words_cannot_describe_is_told_with_those_they_can(scheme):
    with pytest.raises(UserError, match=r"one of compliance, content, safety, control\)"):
        open_organism(replace(WORDS, scheme=scheme))


def test_a_model_without_words_and_an_unknown_name_are_told():
    with pytest.raises(UserError, match="organism none: expected --scheme"):
        open_organism(Given("none", "tiny"))
    with pytest.raises(UserError, match="'kraken': expected a directory or one of access-gate"):
        open_organism(replace(WORDS, name="kraken"))
