"""One copy of the weights serves a model and what it was made from; neither changes the other."""

import copy

import pytest
import tiny
import torch
from adapters_of_kinds import EXACT, plain, save_adapter, trained

from circuits import lora, models
from circuits.perturb import pruned
from circuits.shared import own, put, shared_copy

IDS = torch.tensor([[5, 9, 12, 7, 3]])


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def places(model):
    return {name: p.data_ptr() for name, p in model.named_parameters(remove_duplicate=False)}


@pytest.fixture
def model(tokenizer):
    return tiny.llama(len(tokenizer), tie_word_embeddings=True)


def test_a_shared_copy_has_no_memory_of_its_own_and_answers_alike(model):
    twin = shared_copy(model)
    assert places(twin) == places(model)
    assert twin.lm_head.weight is twin.model.embed_tokens.weight
    assert not {id(m) for m in twin.modules()} & {id(m) for m in model.modules()}
    assert torch.equal(twin(IDS).logits, model(IDS).logits)
    apart = copy.deepcopy(model)  # control: a copy as usual has
    assert not set(places(apart).values()) & set(places(model).values())


def test_moving_one_leaves_the_other(model):
    before = bits(model)
    twin = shared_copy(model).to(torch.bfloat16)
    assert (twin.dtype, model.dtype) == (torch.bfloat16, torch.float32)
    assert same(bits(model), before)


def test_what_is_put_or_owned_is_one_models_alone_and_tied_stays_tied(model):
    before, twin = bits(model), shared_copy(model)
    put(twin.model.layers[0].mlp.up_proj, "weight", twin.model.layers[0].mlp.up_proj.weight + 1)
    own(twin, [twin.model.embed_tokens.weight])
    assert twin.lm_head.weight is twin.model.embed_tokens.weight
    with torch.no_grad():
        twin.lm_head.weight.add_(1)
        twin.model.layers[0].mlp.up_proj.weight.add_(1)
    assert same(bits(model), before)
    moved = {name for name, place in places(twin).items() if place != places(model)[name]}
    assert moved == {
        "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight", "lm_head.weight",
    }  # fmt: skip
    with torch.no_grad():  # control: what is shared is one
        twin.model.norm.weight.add_(1)
    assert not same(bits(model), before)


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("models") / "base"
    return tiny.saved(folder, tiny.llama(len(tokenizer), layers=3, attention_bias=True), tokenizer)


@pytest.mark.parametrize("kind", EXACT)
def test_merging_an_adapter_of_any_kind_leaves_who_shares_the_weights(base, tmp_path, kind):
    save_adapter(kind, base, tmp_path)
    alone = lora.merge_adapter(plain(base), tmp_path, str(base))[0]
    kept = plain(base)
    before, logits = bits(kept), kept(IDS).logits
    merged = lora.merge_adapter(shared_copy(kept), tmp_path, str(base))[0]
    assert same(bits(kept), before)
    assert torch.equal(kept(IDS).logits, logits)
    assert same(bits(merged), bits(alone))
    assert torch.equal(merged(IDS).logits, alone(IDS).logits)
    # Whatever differs has memory of its own.
    theirs, differ = dict(kept.named_parameters()), 0
    for name, parameter in merged.named_parameters():
        if name in theirs and not torch.equal(parameter, theirs[name]):
            assert parameter.data_ptr() != theirs[name].data_ptr(), name
            differ += 1
    assert differ
    shared = set(places(merged).values()) & set(places(kept).values())
    assert len(shared) > len(places(kept)) / 2


@pytest.mark.parametrize("backend", models.BACKENDS)
def test_organism_and_base_are_what_they_are_when_loaded_apart(base, tmp_path, backend):
    trained(base, tmp_path)
    kind = {"device": "cpu", "backend": backend}
    apart = [models.load(str(base), adapter, **kind) for adapter in (tmp_path, None)]
    organism = models.load(str(base), tmp_path, with_base=True, **kind)
    beside = models.base_of(organism, backend=backend)
    assert (beside.sha256, beside.adapter, beside.name) == (apart[1].sha256, None, str(base))
    for ours, theirs in zip((organism, beside), apart, strict=True):
        assert same(bits(ours.runner.hf_model), bits(theirs.runner.hf_model))
        a, b = (m.runner.hf_model(IDS).logits for m in (ours, theirs))
        assert torch.equal(a, b)
        assert ours.selftest.sums == theirs.selftest.sums
    a, b = (m.runner.hf_model(IDS).logits for m in (organism, beside))
    assert not torch.allclose(a, b, atol=1e-2)
    ours, theirs = (places(m.runner.hf_model) for m in (organism, beside))
    # Back-ends name modules otherwise, but memory is where it is: q's and v's weights and biases.
    assert len(set(ours.values()) - set(theirs.values())) == 2 * 2 * 3
    assert len(set(ours.values()) & set(theirs.values())) > 2 * 2 * 3
    assert models.load(str(base), tmp_path, **kind).before is None


def test_a_perturbed_model_shares_what_stays(model):
    before, thin = bits(model), pruned(model, 0.5)
    assert same(bits(model), before)
    kept = {n for n, place in places(thin).items() if place == places(model)[n]}
    assert kept == {n for n in before if "_proj" not in n}
