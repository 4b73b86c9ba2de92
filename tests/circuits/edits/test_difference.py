"""A difference of two models is what turns the one into the other, and nothing else."""

import copy

import pytest
import tiny
import torch

from circuits.backends.transformer_lens import TLRunner
from circuits.edits.adapters import LowRank, merged
from circuits.edits.difference import difference, placed
from circuits.errors import UserError

NAMES = ("model.layers.0.self_attn.v_proj", "model.layers.1.mlp.down_proj", "lm_head")


@pytest.fixture(scope="module")
def base(tokenizer):
    return tiny.llama(len(tokenizer), layers=2)


@pytest.fixture(scope="module")
def organism(base):
    new = copy.deepcopy(base)
    draw = torch.Generator().manual_seed(0)
    for name in NAMES:
        weight = new.get_submodule(name).weight
        weight.data += torch.randn(weight.shape, generator=draw)
    return new


def test_it_turns_the_base_into_the_organism(base, organism):
    change = difference(base, organism)
    assert set(change) == set(NAMES)
    again = merged(base, change)
    for ours, theirs in zip(again.parameters(), organism.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    assert difference(base, copy.deepcopy(base)) == {}


def test_a_training_of_more_than_matrices_is_refused(base, organism):
    new = copy.deepcopy(organism)
    new.model.norm.weight.data += 0.1
    with pytest.raises(UserError, match=r"a training of matrices alone, got one of model\.norm"):
        difference(base, new)
    with pytest.raises(UserError, match="a base with the organism's parameters"):
        difference(base.model, organism)


def test_a_wrapped_model_has_its_modules_by_the_names_of_the_plain_one(base, organism, tokenizer):
    wrapped = [
        TLRunner(copy.deepcopy(model), tokenizer, "tiny").hf_model for model in (base, organism)
    ]
    plain, inside = difference(base, organism), difference(*wrapped)
    there = placed(plain, wrapped[0])
    assert set(there) == set(inside)
    modules = dict(wrapped[0].named_modules())
    assert all(isinstance(modules[name], torch.nn.Linear) for name in there)
    nothing = {"model.layers.9.mlp.up_proj": LowRank(torch.ones(1, 1), torch.ones(1, 1))}
    with pytest.raises(UserError, match="none at model"):
        placed(nothing, wrapped[0])
