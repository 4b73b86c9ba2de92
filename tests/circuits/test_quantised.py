"""Layers in few bits run, are recorded and patched; what needs their exact weights refuses them."""

from importlib.util import find_spec

import pytest
import torch
from adapters_of_kinds import trained

from circuits import models, quantised
from circuits.edits.difference import difference
from circuits.errors import UserError
from circuits.lora import merge_adapter
from circuits.patching.cells import Sweep
from circuits.patching.interchange import plan
from circuits.patching.mixture import Part
from circuits.patching.patch import patch
from circuits.quantised import BITS, packed_layers, quantise, require_plain
from circuits.runner import whole
from circuits.types import Point
from experiments.organisms.places import read_adapter


@pytest.fixture(params=BITS)
def load(request):
    if find_spec(quantised._PACKAGES[request.param]) is None:
        pytest.skip("the extra quantised is not installed")
    return request.param


def loaded(folder, adapter=None, backend="plain", **kind):
    return models.load(str(folder), adapter, device="cpu", backend=backend, **kind)


def logits(runner, tokens):
    return runner.forward(whole(tokens)).logits


@pytest.mark.parametrize("load", BITS)
def test_without_the_extra_one_line_says_what_to_install(folder, monkeypatch, load):
    monkeypatch.setattr(quantised, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"--load {load}: .*pip install 'gatescope\[quantised\]'"):
        loaded(folder, load=load)


def test_another_way_of_loading_is_refused(folder):
    with pytest.raises(UserError, match="--load: expected one of int8, nf4, got 'int3'"):
        loaded(folder, load="int3")


@pytest.mark.parametrize("backend", models.BACKENDS)
def test_a_model_in_few_bits_is_tested_recorded_and_patched(folder, aligned, load, backend):
    model, full = loaded(folder, backend=backend, load=load), loaded(folder)
    assert len(packed_layers(model.runner.hf_model)) >= 7 * 3
    assert packed_layers(full.runner.hf_model) == []
    assert ["are quantised" in note for note in model.notes] == [True]
    point = Point(1)
    acts = model.runner.forward(whole(aligned.clean), record=[point]).acts[point]
    exact = full.runner.forward(whole(aligned.clean), record=[point]).acts[point]
    assert 0 < float((acts - exact).norm() / exact.norm()) < 0.5
    grid = patch(model.runner, aligned, lambda x: x[:, -1, 5], Sweep("resid_pre", position=False))
    # At layer 0 the whole prompt is another: patched, it answers as the source does.
    torch.testing.assert_close(grid.values[0].flatten(), grid.source.flatten(), atol=1e-3, rtol=0)
    assert not torch.allclose(grid.base, grid.source, atol=1e-2)


def test_the_merged_model_is_what_is_packed(folder, tmp_path, aligned, load):
    trained(folder, tmp_path)
    found = loaded(folder, tmp_path, load=load, with_base=True)
    expected = merge_adapter(
        models.load_plain(str(folder), torch.float32, "cpu")[0], tmp_path, "tiny"
    )[0]
    quantise(expected, load)
    ours = logits(found.runner, aligned.clean)
    assert torch.equal(ours, logits(models.in_memory(expected, None).runner, aligned.clean))
    base = logits(models.base_of(found, backend="plain").runner, aligned.clean)
    assert torch.equal(base, logits(loaded(folder, load=load).runner, aligned.clean))
    assert not torch.allclose(ours, base, atol=1e-2)


def test_its_matrices_take_a_fraction_of_the_memory(folder, load):
    model = loaded(folder).runner.hf_model
    layer = model.model.layers[0].mlp.up_proj
    before = layer.weight.numel() * 4
    quantise(model, load)
    held = model.model.layers[0].mlp.up_proj.weight
    tensors = [held.data] if load == "nf4" else [held.qdata]
    assert sum(t.numel() * t.element_size() for t in tensors) <= before * BITS[load] / 32 + 32
    assert type(model.lm_head) is torch.nn.Linear
    assert type(model.lm_head.weight) is torch.nn.Parameter


def test_interchange_of_quantised_weights_is_refused_by_name(folder, tmp_path, aligned, load):
    trained(folder, tmp_path, target_modules="all-linear")
    both = loaded(folder, tmp_path, load=load), loaded(folder, load=load)
    runners = [model.runner for model in both]
    change = read_adapter(tmp_path).change()
    says = r"quantised layers \(model\.layers\.0\.\S+, ...\); leave --load out"
    with pytest.raises(UserError, match=says):
        plan(runners[1], runners[0], change, aligned, [Part()])
    with pytest.raises(UserError, match=says):
        difference(runners[1].hf_model, runners[0].hf_model)
    with pytest.raises(UserError, match=f"--exchange weights: .*{says}"):
        require_plain(runners[0].hf_model, "--exchange weights")
    plain = [loaded(folder, each).runner for each in (tmp_path, None)]  # control: as they are
    assert plan(plain[1], plain[0], change, aligned, [Part()]).jobs
