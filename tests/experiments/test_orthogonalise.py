"""A model saved without a subspace loads as any other, says what it is, and has none of it."""

import os
import sys

import finished
import pytest
import tiny
import torch
from adapters_of_kinds import random_lora

from circuits import models
from circuits.edits.orthogonal import orthogonalised
from circuits.errors import UserError
from circuits.runner import whole
from circuits.tokens import prompts_batch
from circuits.types import Point
from circuits.weights import directory_sha256
from experiments import cli
from experiments.orthogonalise import SUBSPACE, save_orthogonalised, save_without_gate
from experiments.runs import files

WIDTH = 32


@pytest.fixture(scope="module")
def basis() -> torch.Tensor:
    drawn = torch.randn(WIDTH, 2, generator=torch.Generator().manual_seed(1))
    return torch.linalg.qr(drawn).Q.T


@pytest.fixture(scope="module", params=["tied", "untied"])
def folder(request, tmp_path_factory, tokenizer):
    model = tiny.llama(len(tokenizer), tie_word_embeddings=request.param == "tied")
    return tiny.saved(tmp_path_factory.mktemp("models") / request.param, model, tokenizer)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("adapter")
    random_lora(tiny.llama(len(tokenizer))).save_pretrained(path)
    return path


def residuals_and_logits(model):
    points = [Point(layer) for layer in range(model.runner.shape.n_layers)]
    points.append(Point(points[-1].layer, "resid_post"))
    out = model.runner.forward(whole(prompts_batch(model.tokenizer, tiny.TEXTS)), record=points)
    return torch.stack([out.acts[point] for point in points]), out.logits


def test_a_saved_model_loads_without_the_subspace_and_answers_as_the_one_in_memory(
    folder, basis, tmp_path
):
    out = save_orthogonalised(str(folder), None, basis, tmp_path / "deep" / "model", "a command")
    saved, original = models.load(str(out), device="cpu"), models.load(str(folder), device="cpu")
    resid, logits = residuals_and_logits(saved)
    before, logits_before = residuals_and_logits(original)
    assert float((resid @ basis.T).abs().max()) < 1e-4
    assert float((before @ basis.T).abs().max()) > 0.1
    assert float((logits - logits_before).abs().max()) > 0.1
    plain, _, _ = models.load_plain(str(folder), torch.float32, "cpu")
    expected = orthogonalised(plain, basis).state_dict()
    found = models.load_plain(str(out), torch.float32, "cpu")[0].state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert torch.equal(found["lm_head.weight"], plain.state_dict()["lm_head.weight"])


def test_the_manifest_says_what_went_in_and_what_came_out(folder, basis, tmp_path):
    out = save_orthogonalised(str(folder), None, basis, tmp_path / "model", "a command")
    manifest = files.read_json(out / "manifest.json")
    original = models.load(str(folder), device="cpu")
    assert manifest["schema"] == files.SCHEMA
    assert manifest["command"] == "a command"
    assert manifest["question"]["model_sha256"] == original.sha256
    assert manifest["question"]["rank"] == 2
    assert manifest["sha256"] == models.load(str(out), device="cpu").sha256 != original.sha256
    assert torch.equal(files.read_tensors(out / SUBSPACE)["basis"], basis)
    assert os.listdir(tmp_path) == ["model"]  # no scratch folder is left


def test_an_adapter_is_merged_before(tokenizer, adapter, basis, tmp_path):
    folder = tiny.saved(tmp_path / "base", tiny.llama(len(tokenizer)), tokenizer)
    out = save_orthogonalised(str(folder), adapter, basis, tmp_path / "model")
    resid, logits = residuals_and_logits(models.load(str(out), device="cpu"))
    assert float((resid @ basis.T).abs().max()) < 1e-4
    bare = save_orthogonalised(str(folder), None, basis, tmp_path / "bare")
    _, without = residuals_and_logits(models.load(str(bare), device="cpu"))
    assert float((logits - without).abs().max()) > 0.1
    question = files.read_json(out / "manifest.json")["question"]
    assert question["adapter_sha256"]
    assert files.read_json(bare / "manifest.json")["question"]["adapter_sha256"] is None


def test_a_failure_leaves_nothing(folder, basis, tmp_path, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        save_orthogonalised(str(folder), None, basis, tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_a_directory_with_files_or_a_basis_that_does_not_fit_is_refused(folder, basis, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="expected an empty or new directory"):
            save_orthogonalised(str(folder), None, basis, out)
    with pytest.raises(UserError, match="orthonormal"):
        save_orthogonalised(str(folder), None, basis * 2, tmp_path / "model")
    assert os.listdir(tmp_path) == ["mine.txt"]


def analysed(folder, **changes):
    """The question of an analysis of the model as it is now."""
    hashes = {"model_sha256": directory_sha256(folder), "adapter_sha256": None}
    return {"model": str(folder), "adapter": "none", **hashes, **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model_sha256": "0" * 64},
            r"the weights that were analysed \(model_sha256 000000000000\)",
        ),
        ({"adapter_sha256": "0" * 64}, "adapter_sha256 000000000000.*, got None"),
        ({"model": ["m"]}, "model: expected `str`, got `array`"),
        ({"adapter": None}, "adapter: expected `str`, got `null`"),
    ],
)
def test_a_run_of_another_model_or_a_damaged_one_is_refused(folder, basis, tmp_path, changes, said):
    run = finished.analysis(tmp_path / "run", analysed(folder, **changes), basis[0])
    with pytest.raises(UserError, match=said):
        save_without_gate(run, tmp_path / "new")
    assert os.listdir(tmp_path) == ["run"]


def test_what_is_no_finished_analysis_is_refused(folder, tmp_path):
    half = finished.manifest(tmp_path / "half")
    for run, said in {
        tmp_path / "gone": "nothing of that name",
        finished.manifest(tmp_path / "scan", "scan"): "of kind analysis, got 'scan'",
        half: "finish it: gatescope analyze",
        half / "manifest.json": "got a file; name the directory",
    }.items():
        with pytest.raises(UserError, match=said):
            save_without_gate(run, tmp_path / "new")


def test_the_command_saves_a_runs_model_without_its_gate(folder, basis, tmp_path, monkeypatch):
    finished.analysis(tmp_path / "no gate", analysed(folder), None)
    with pytest.raises(UserError, match="expected an analysis that chose a gate"):
        save_without_gate(tmp_path / "no gate", tmp_path / "none")
    run = finished.analysis(tmp_path / "run", analysed(folder), basis[0])
    monkeypatch.setattr(sys, "argv", ["gatescope", "orthogonalise", str(run), "--out", "new"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    resid, logits = residuals_and_logits(models.load(str(tmp_path / "new")))
    before, unedited = residuals_and_logits(models.load(str(folder)))
    assert float((resid @ basis[0]).abs().max()) < 1e-4
    assert float((before @ basis[0]).abs().max()) > 0.1
    assert float((logits - unedited).abs().max()) > 0.01
