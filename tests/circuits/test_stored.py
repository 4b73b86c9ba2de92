"""Weights stored in bf16 are multiplied in fp32 where a processor has no product of bf16."""

import pytest
import tiny
import torch
from adapters_of_kinds import trained

from circuits import holding, models, stored
from circuits.backends.selftest import half_precision, plain_logits
from circuits.stored import computed_in, is_widened, multiplies, widen
from circuits.tokens import prompts_batch

HALF = torch.bfloat16


@pytest.fixture
def cannot(monkeypatch):
    monkeypatch.setattr(holding, "multiplies", lambda dtype, device: dtype != HALF)


@pytest.fixture
def can(monkeypatch):
    monkeypatch.setattr(holding, "multiplies", lambda dtype, device: True)


def logits(model, tokenizer):
    tokens = prompts_batch(tokenizer, tiny.TEXTS[:3], "cobalt")
    with torch.no_grad():
        return model(input_ids=tokens.ids, attention_mask=tokens.mask.long()).logits


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_it_computes_bit_for_bit_what_its_rounded_weights_do_in_fp32(tokenizer, name):
    model = tiny.ARCHITECTURES[name](len(tokenizer))
    exact = logits(model, tokenizer)
    rounded = logits(model.to(HALF).float(), tokenizer)
    assert not torch.equal(exact, rounded)  # control: rounding is seen
    widened = widen(model.to(HALF))
    assert torch.equal(logits(widened, tokenizer), rounded)
    matrices = [p for p in widened.parameters() if p.dim() > 1]
    assert {p.dtype for p in widened.parameters() if p.dim() == 1} == {torch.float32}
    ends = {id(m.weight) for m in (widened.get_input_embeddings(), widened.get_output_embeddings())}
    blocks = {
        p.dtype for p in matrices if id(p) not in ends and "GPT2" not in type(widened).__name__
    }
    assert blocks <= {HALF}
    assert HALF in {p.dtype for p in matrices}
    assert computed_in(widened) == torch.float32
    assert computed_in(tiny.llama(len(tokenizer)).to(HALF)) == HALF


@pytest.mark.parametrize("backend", models.BACKENDS)
def test_a_loaded_model_is_held_in_half_its_memory_and_says_so(folder, tokenizer, backend, cannot):
    kind = {"device": "cpu", "backend": backend}
    model = models.load(str(folder), dtype="bf16", **kind)
    whole = models.load(str(folder), dtype="fp32", **kind)
    sizes = [
        sum(p.numel() * p.element_size() for p in m.runner.hf_model.parameters())
        for m in (model, whole)
    ]
    assert sizes[0] < 0.8 * sizes[1]  # of this one, half is embeddings
    assert model.runner.shape.dtype == torch.float32
    assert model.selftest.tolerance == whole.selftest.tolerance  # held to what fp32 is held to
    assert ["multiplied in fp32" in note for note in model.notes] == [True]
    assert whole.notes == ()
    for parameter in whole.runner.hf_model.parameters():
        parameter.data = parameter.data.to(HALF).float()
    expected = logits(whole.runner.hf_model, tokenizer)
    assert torch.equal(logits(model.runner.hf_model, tokenizer), expected)


def test_organism_and_base_are_both_held_so_and_share(folder, tokenizer, tmp_path, cannot):
    trained(folder, tmp_path)
    kind = {"device": "cpu", "dtype": "bf16", "backend": "plain"}
    organism = models.load(str(folder), tmp_path, with_base=True, **kind)
    base = models.base_of(organism, backend="plain")
    alone = models.load(str(folder), **kind)
    ours = logits(base.runner.hf_model, tokenizer)
    assert torch.equal(ours, logits(alone.runner.hf_model, tokenizer))
    assert not torch.equal(ours, logits(organism.runner.hf_model, tokenizer))
    places = [
        {n: p.data_ptr() for n, p in m.runner.hf_model.named_parameters()} for m in (organism, base)
    ]
    apart = {name for name in places[0] if places[0][name] != places[1][name]}
    assert apart == {n for n in places[0] if "q_proj" in n or "v_proj" in n}


def test_the_self_test_measures_what_half_precision_moves(folder, tokenizer, can):
    model = models.load(str(folder), dtype="bf16", device="cpu", backend="plain")
    assert not is_widened(model.runner.hf_model)
    assert 0 < model.selftest.half < 1
    whole = models.load(str(folder), dtype="fp32", device="cpu", backend="plain")
    assert whole.selftest.half is None  # there is nothing to measure


def test_a_model_that_half_precision_does_not_hold_is_noted(tokenizer, can):
    """Logits of a hundred and more have steps of one half."""
    model = tiny.llama(len(tokenizer))
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    mild = tiny.llama(len(tokenizer))
    for each, noted in ((model, True), (mild, False)):
        each.to(HALF)
        gap = half_precision(each, tokenizer, plain_logits(each, tokenizer))
        loaded = models.wrap(each, tokenizer, backend="plain")
        assert loaded.selftest.half == gap
        assert bool(loaded.notes) == (gap > 0.1)
        if noted:
            assert gap > 0.1
            assert "give --dtype fp32" in loaded.notes[0]


def test_what_a_processor_says_of_itself_decides(monkeypatch):
    for has, expected in (({}, False), ({"avx512_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(stored.torch.cpu, "get_capabilities", lambda has=has: has)
        assert multiplies(HALF, "cpu") == expected
        assert multiplies(torch.float32, "cpu")
        assert multiplies(HALF, "cuda:0")
