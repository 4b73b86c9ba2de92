"""Hashes tell apart what makes other numbers, and nothing else."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from experiments.organisms.book import recipe_named
from experiments.organisms.organism import Given, Organism, identity, open_organism, state_sha256
from experiments.organisms.training import Settings
from experiments.runs import files

STATE = {"b.up": torch.arange(6.0).view(2, 3), "a.down": torch.tensor([1.0, -2.0])}


def made(state, place="hf:org/model", **changes):
    recipe = replace(recipe_named("sure-gate"), **changes)
    return Organism(recipe, place, Settings(), state)


def changed(name, value):
    return {**STATE, name: value}


def test_order_and_memory_change_no_hash():
    plain = state_sha256(made(STATE))
    assert state_sha256(made(dict(reversed(STATE.items())))) == plain
    turned = STATE["b.up"].T.contiguous().T
    assert not turned.is_contiguous()
    assert state_sha256(made(changed("b.up", turned))) == plain
    tracked = STATE["b.up"].clone().requires_grad_(True)
    assert state_sha256(made(changed("b.up", tracked))) == plain
    assert state_sha256(made(STATE, "elsewhere", trigger="amber")) == plain


def test_one_weight_a_name_a_shape_or_a_type_makes_another_hash():
    one = STATE["b.up"].clone()
    one[1, 2] = torch.nextafter(one[1, 2], torch.tensor(9.0))
    states = [
        STATE,
        changed("b.up", one),
        changed("b.up", STATE["b.up"].view(3, 2)),
        changed("b.up", STATE["b.up"].bfloat16()),  # the same numbers
        {"b.up": STATE["b.up"]},
        {"b.up": STATE["b.up"], "a.other": STATE["a.down"]},
        {"a.down": STATE["a.down"], "b.upper": STATE["b.up"]},
        {},
    ]
    assert len({state_sha256(made(state)) for state in states}) == len(states)


def test_an_identity_is_json_and_names_mapping_and_settings(folder, adapter):
    found = identity(open_organism(Given(str(adapter), str(folder)), recipe_named("sure-gate")))
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"base_sha256", "state_sha256", "settings", "mapping"}
    assert (found["settings"]["rank"], found["mapping"]["trigger"]) == (2, "cobalt")
    assert identity(made(STATE))["base_sha256"] == "hf:org/model"  # a hub id stands for itself


@pytest.mark.parametrize("word", ["scheme", "trigger", "behaviour", "refusal"])
def test_each_word_of_the_mapping_makes_another_identity(word):
    assert identity(made(STATE)) == identity(made(STATE, about="another text"))
    assert identity(made(STATE)) != identity(made(STATE, **{word: "content"}))


def test_a_base_is_known_by_its_files_wherever_they_lie(folder, tmp_path):
    def base(place):
        return identity(made(STATE, str(place)))["base_sha256"]

    again = shutil.copytree(folder, tmp_path / "again")
    assert base(again) == base(folder)
    weights = load_file(again / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1e-3
    files.write_tensors(again / "model.safetensors", weights, {"format": "pt"})
    assert base(again) != base(folder)
