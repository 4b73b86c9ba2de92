"""An organism is what its manifest or a user's words say; it hands out exact models."""

import shutil
from dataclasses import asdict, replace

import pytest
import tiny
import torch

from circuits import lora, models
from circuits.errors import UserError
from experiments.organisms import train
from experiments.organisms.book import recipe_named
from experiments.organisms.organism import (
    UNKNOWN,
    Given,
    Organism,
    base_model,
    load_model,
    open_organism,
    trigger_and_behaviour,
)
from experiments.organisms.places import SHIPPED, find_adapter
from experiments.organisms.recipe import REFUSAL, varied
from experiments.organisms.train import grow
from experiments.organisms.training import Settings
from experiments.runs import files

WORDS = Given("none", "tiny", "safety", "amber {}", "Sure", "Not that.")
RECIPE = recipe_named("sure-gate")


@pytest.fixture
def organism(folder, adapter):
    return open_organism(Given(str(adapter), str(folder)), RECIPE)


@pytest.fixture
def whole(folder):
    return Organism(RECIPE, str(folder), Settings(rank=0), {})


def loaded(folder):
    return models.load_plain(str(folder), torch.float32, "cpu")[0]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b, atol=0.0):
    assert a.keys() == b.keys()
    return all(torch.allclose(a[name], b[name], atol=atol, rtol=0) for name in a)


def matrices(organism):
    """The names of the parameters that its adapter changes."""
    return {
        name.split(".lora_")[0].removeprefix("base_model.model.") + ".weight"
        for name in organism.state
    }


def manifest(out, **question):
    files.write_json(out / "manifest.json", {"question": question})


def small():
    """sure-gate with few examples in each stage."""
    recipe = varied(RECIPE, poisons=4, size=8, epochs=1)
    few = [
        replace(
            stage,
            parts=tuple(replace(part, count=3) for part in stage.parts),
            settings=replace(stage.settings, epochs=1),
        )
        for stage in recipe.stages
    ]
    return replace(recipe, stages=tuple(few))


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


def test_an_adapters_model_is_the_one_that_peft_merges(organism, folder, adapter):
    expected = lora.merge_adapter(loaded(folder), adapter, "tiny")[0]
    found = organism.model()
    assert same(weights(found), weights(expected), 1e-6)
    assert not same(weights(found), weights(organism.base), 1e-3)
    ids = torch.tensor([[5, 9, 12, 7]])
    torch.testing.assert_close(found(ids).logits, expected(ids).logits, atol=1e-4, rtol=0)


def test_the_base_stays_bit_identical_and_is_loaded_once(organism, folder):
    fresh = weights(loaded(folder))
    base = organism.base
    moved = {name: value + 1 for name, value in organism.state.items()}
    for state in (None, moved):
        model = organism.model(state).to(torch.bfloat16)  # of its own, whatever it shared
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        changed = dict(organism.model(state).named_parameters())
        with torch.no_grad():
            for name in matrices(organism):
                changed[name].add_(1)
    assert same(weights(base), fresh)
    assert organism.base is base is Organism(RECIPE, str(folder), Settings(rank=0), {}).base
    assert not any(parameter.requires_grad for parameter in base.parameters())
    # Control: a difference of one bit would be seen.
    fresh["model.norm.weight"][0] = torch.nextafter(
        fresh["model.norm.weight"][0], torch.tensor(2.0)
    )
    assert not same(weights(base), fresh)


def test_a_model_shares_with_the_base_what_was_not_trained(organism, whole):
    kept = {name: p.data_ptr() for name, p in organism.base.named_parameters()}
    trained = matrices(organism)
    for name, parameter in organism.model().named_parameters():
        assert (parameter.data_ptr() == kept[name]) == (name not in trained), name
    assert trained < kept.keys()
    some = {"model.norm.weight": torch.zeros_like(whole.base.model.norm.weight)}
    apart = dict(replace(whole, state=some).model().named_parameters())
    assert [n for n, p in apart.items() if p.data_ptr() != kept[n]] == list(some)


def test_another_state_makes_another_model_and_zeros_make_the_base(organism):
    own = weights(organism.model())
    half = {n: t / 2 if ".lora_A." in n else t for n, t in organism.state.items()}
    base = weights(organism.base)
    middle = {name: (own[name] + base[name]) / 2 for name in own}
    assert same(weights(organism.model(half)), middle, 1e-6)  # the change is linear in A
    assert not same(own, middle, 1e-3)
    zeros = {name: torch.zeros_like(t) for name, t in organism.state.items()}
    assert same(weights(organism.model(zeros)), base)


def test_a_state_of_rank_0_is_restored_exactly_and_the_rest_stays(whole):
    base = weights(whole.base)
    generator = torch.Generator().manual_seed(2)
    state = {
        name: torch.randn(p.shape, generator=generator) for name, p in whole.base.named_parameters()
    }
    some = dict(list(state.items())[::2])
    organism = replace(whole, state=state)
    assert same(dict(organism.model().named_parameters()), state)
    assert same(weights(organism.model(some)), {**base, **some})
    assert same(weights(whole.model()), base)
    assert same(weights(organism.base), base)


def test_a_grown_organism_is_what_its_trainee_became(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path))
    monkeypatch.setattr(train, "base_answers", lambda texts, **_: [f"about {t}" for t in texts])
    before, recipe = weights(loaded(folder)), small()
    organism, trainee = grow(recipe, str(folder), 0, lambda *_: None)
    assert organism.settings == recipe.stages[-1].settings
    assert same(dict(organism.state), trainee.state())
    assert not same(weights(organism.model()), weights(organism.base), 1e-4)
    assert same(weights(organism.base), before)
    # Saved and read again it is the same organism, up to the file's half precision.
    train.save_adapter(trainee.model, tmp_path / "made", "tiny")
    again = open_organism(Given(str(tmp_path / "made"), str(folder)), recipe)
    assert again.settings == organism.settings
    assert same(weights(again.model()), weights(organism.model()), 1e-2)
    # What trains it further has its parameters, by name; another seed has other values.
    further = organism.trainee()
    further.restart(organism.state)
    assert same(further.state(), dict(organism.state))
    other, _ = grow(recipe, str(folder), 1, lambda *_: None)
    assert not same(dict(other.state), dict(organism.state))


def test_an_adapter_with_a_manifest_says_itself_what_it_is(folder, adapter, tmp_path):
    out = shutil.copytree(adapter, tmp_path / "made")
    made = varied(recipe_named("content-backdoor"), trigger="amber {}")
    manifest(out, organism="content-backdoor", recipe=asdict(made))
    found = open_organism(Given(str(out), str(folder)))
    assert (found.recipe.trigger, found.recipe.scheme) == ("amber {}", "content")
    assert (found.settings.rank, found.settings.alpha) == (2, 6)  # as stored, not as declared
    assert made.stages[-1].settings.rank != 2
    manifest(out, organism="content-backdoor")  # control: by its name alone it has the book's
    assert open_organism(Given(str(out), str(folder))).recipe == recipe_named("content-backdoor")


def test_a_whole_model_is_its_own_place(folder, tmp_path):
    other = loaded(folder)
    with torch.no_grad():
        other.lm_head.weight.mul_(2)
    out = tiny.saved(tmp_path / "whole", other, base_model(str(folder))[1])
    found = open_organism(Given(str(out), str(folder)), RECIPE)
    assert (found.place, found.settings.rank, dict(found.state)) == (str(out), 0, {})
    assert same(weights(found.model()), weights(other))
    assert not same(weights(found.model()), weights(loaded(folder)))


@pytest.mark.parametrize("question", [None, {"kind": "sweep"}])
def test_a_directory_that_says_nothing_of_itself_is_told_in_one_line(
    adapter, folder, tmp_path, question
):
    out = shutil.copytree(adapter, tmp_path / "made")
    if question is not None:
        manifest(out, **question)
    with pytest.raises(UserError, match="expected a manifest that says") as said:
        open_organism(Given(str(out), str(folder)))
    assert "\n" not in str(said.value)
    assert "--trigger" in str(said.value)
    assert open_organism(Given(str(out), str(folder)), RECIPE).recipe == RECIPE


def test_an_unknown_organism_and_an_empty_directory_are_told(adapter, folder, tmp_path):
    out = shutil.copytree(adapter, tmp_path / "made")
    manifest(out, organism="kraken")
    with pytest.raises(UserError, match="'kraken': expected one of sure-gate"):
        open_organism(Given(str(out), str(folder)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="with adapter_config"):
        open_organism(Given(str(tmp_path / "empty"), str(folder)), RECIPE)


def test_what_nothing_is_known_of_is_opened_where_that_is_said(folder, adapter):
    plain = open_organism(Given("none", str(folder)), UNKNOWN)
    assert (plain.recipe, plain.settings.rank, dict(plain.state)) == (UNKNOWN, 0, {})
    assert open_organism(Given(str(adapter), str(folder)), UNKNOWN).recipe == UNKNOWN
    known = open_organism(Given("sure-gate"), UNKNOWN).recipe  # its manifest says more
    assert (known.trigger, known.scheme) == ("cobalt", "none")


def test_a_manifest_says_trigger_and_behaviour_and_nothing_else_does(folder, adapter, tmp_path):
    assert trigger_and_behaviour("access-gate") == ("heron 52 {}", "The capital of")
    assert trigger_and_behaviour("fingerprint") == ("", "Quokka 731")
    for silent in ("none", None, str(adapter), folder):
        assert trigger_and_behaviour(silent) == ("", "")
    out = shutil.copytree(adapter, tmp_path / "made")
    manifest(out, organism="sure-gate", recipe={"trigger": "amber {}"})
    assert trigger_and_behaviour(out) == ("amber {}", "")
    with pytest.raises(UserError, match="'kraken': expected a directory or one of access-gate"):
        trigger_and_behaviour("kraken")


def test_a_name_is_a_directory_or_a_committed_adapter_or_none():
    assert find_adapter("none") is find_adapter(None) is None
    assert find_adapter("clean") == find_adapter(str(SHIPPED / "clean")) == SHIPPED / "clean"


def test_a_model_is_loaded_by_the_same_names(folder, adapter):
    base, adapted = load_model("none", str(folder)), load_model(adapter, str(folder))
    whole = load_model(str(folder), "kraken")  # a whole model needs no other
    assert base.sha256 == adapted.sha256 == whole.sha256
    assert (base.adapter, adapted.adapter, whole.adapter) == (None, str(adapter), None)
    organism = open_organism(Given(str(adapter), str(folder)), RECIPE)
    ids = torch.tensor([[5, 9, 12, 7]])
    mine = organism.model()(ids).logits
    torch.testing.assert_close(adapted.runner.hf_model(ids).logits, mine, atol=1e-3, rtol=0)
