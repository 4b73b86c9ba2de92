"""Layers that do not fit are kept elsewhere, and every result is what it is without."""

import pytest
import tiny
import torch
from adapters_of_kinds import trained

from circuits import holding, models, offload
from circuits.errors import UserError
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.runner import generate, whole
from circuits.types import Point


def loaded(folder, adapter=None, backend="plain", device="auto-offload", **kind):
    return models.load(str(folder), adapter, device=device, backend=backend, **kind)


@pytest.fixture
def small(monkeypatch, folder, tmp_path):
    """A device with room for one of three layers."""
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(holding, "resolve_device", lambda device: "cpu")
    model = models.load_plain(str(folder), torch.float32, "cpu")[0]
    layer = sum(p.numel() * 4 for p in model.model.layers[0].parameters())
    rest = sum(p.numel() * 4 for p in model.parameters()) - 3 * layer
    most = {"cpu": rest + layer}
    monkeypatch.setattr(holding, "room", lambda device: most)
    return most


@pytest.mark.parametrize("backend", models.BACKENDS)
def test_results_from_disk_are_equal_bit_for_bit(folder, aligned, small, backend, tmp_path):
    model, whole_one = (
        loaded(folder, backend=backend),
        loaded(folder, backend=backend, device="cpu"),
    )
    places = model.runner.hf_model.offloaded_to
    assert [places[f"model.layers.{i}"] for i in range(3)] == ["cpu", "disk", "disk"]
    assert len(list((tmp_path / "cache").glob("offload-*/*.dat"))) == 2 * 9
    assert model.selftest == whole_one.selftest
    points = [
        Point(layer, stream) for layer in range(3) for stream in ("resid_pre", "z", "pattern")
    ]
    ours, theirs = (
        each.runner.forward(whole(aligned.clean), record=points) for each in (model, whole_one)
    )
    assert torch.equal(ours.logits, theirs.logits)
    assert all(torch.equal(ours.acts[p], theirs.acts[p]) for p in points)
    ours, theirs = (
        patch(each.runner, aligned, lambda x: x[:, -1, 5], Sweep("resid_pre")).values
        for each in (model, whole_one)
    )
    assert torch.equal(ours.nan_to_num(9), theirs.nan_to_num(9))
    ours, theirs = (generate(each.runner, aligned.clean, 4) for each in (model, whole_one))
    assert torch.equal(ours, theirs)


def test_organism_and_base_are_both_kept_so(folder, aligned, small, tmp_path):
    trained(folder, tmp_path / "adapter")
    organism = loaded(folder, tmp_path / "adapter", with_base=True)
    base = models.base_of(organism, backend="plain")
    apart = [loaded(folder, a, device="cpu") for a in (tmp_path / "adapter", None)]
    ours, theirs = (
        [each.runner.forward(whole(aligned.clean)).logits for each in both]
        for both in ((organism, base), apart)
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(*ours)
    assert offload.is_offloaded(base.runner.hf_model)


def test_a_device_without_room_for_what_is_outside_of_the_layers_is_refused(folder, small):
    small["cpu"] = 10
    with pytest.raises(UserError, match=r"--device auto-offload: expected .*outside of the layers"):
        loaded(folder)


def test_few_bits_and_offloading_do_not_go_together(folder, monkeypatch):
    monkeypatch.setattr("circuits.quantised.find_spec", lambda name: True)
    with pytest.raises(UserError, match="--device auto-offload and --load nf4; leave one out"):
        loaded(folder, load="nf4")


def test_what_fits_stays_where_it_is(folder, small, tmp_path):
    small["cpu"] = 10**9
    model = loaded(folder)
    assert set(model.runner.hf_model.offloaded_to.values()) == {"cpu"}
    assert not list((tmp_path / "cache").glob("offload-*/*.dat"))


def test_its_files_go_with_the_model(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    model = tiny.llama(len(tokenizer))
    rest = sum(p.numel() * 4 for n, p in model.named_parameters() if "layers" not in n)
    offload.offload(model, "cpu", {"cpu": rest})
    assert set(model.offloaded_to.values()) == {"cpu", "disk"}
    assert list((tmp_path / "cache").glob("offload-*"))
    model.kept_on_disk.cleanup()
    assert not list((tmp_path / "cache").glob("offload-*"))
