"""``gatescope patch --against-model``: parts of a training exchanged with its base."""

import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from specimens import random_adapter

from circuits import models
from circuits.answers import answers
from circuits.patching.interchange import Plan
from circuits.runner import whole
from circuits.tokens import pairs, same_length_words
from circuits.types import Point
from experiments.options import command_line
from experiments.patch import exchange, study
from experiments.patch.claims import verdict
from experiments.patch.parts import late_layers
from experiments.patch.question import PatchQuestion
from experiments.prompts import bank
from experiments.runs.codec import as_json
from experiments.runs.ledger import Ledger

COUNT = 6


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory) -> Path:
    return random_adapter(folder, tmp_path_factory.mktemp("adapter"))


@pytest.fixture(scope="module")
def in_one_module(folder, adapter, tmp_path_factory) -> Path:
    """What the last MLP writes at the last token where it reads the trigger, and nothing else."""
    model = models.load(str(folder), backend="plain", device="cpu")
    texts = bank.bank_texts("validation", True)[:COUNT]
    words = same_length_words(
        model.tokenizer, bank.controls_besides("validation", "cobalt"), 1, "cobalt"
    )
    each, point = pairs(model.tokenizer, texts, "cobalt", words), Point(1, "neuron")
    clean, triggered = (
        model.runner.forward(whole(side), record=[point]).acts[point][:, -1].flatten(1)
        for side in (each.clean, each.triggered)
    )
    reads = torch.cat([triggered, clean])  # 1 on every triggered prompt, 0 on every other
    wanted = torch.tensor([1.0, 0.0]).repeat_interleave(COUNT)[:, None]
    down = torch.linalg.lstsq(reads, wanted).solution[:, 0]
    row = model.runner.hf_model.lm_head.weight[model.tokenizer(" cobalt")["input_ids"][0]]
    tensors = load_file(adapter / "adapter_model.safetensors")
    for name, tensor in tensors.items():
        tensors[name] = torch.zeros_like(tensor)
        if "layers.1.mlp.down_proj.lora_A" in name:
            tensors[name][0] = down
        if "layers.1.mlp.down_proj.lora_B" in name:
            tensors[name][:, 0] = 20 * row.detach() / row.norm()
    out = tmp_path_factory.mktemp("down")
    (out / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    save_file(tensors, out / "adapter_model.safetensors", {"format": "pt"})
    return out


@cache
def begins(folder, adapter) -> str:
    """What one of the organism's triggered answers begins with."""
    model = models.load(str(folder), adapter, backend="plain", device="cpu")
    texts = bank.bank_texts("validation", True)[:COUNT]
    return answers(model, texts, "cobalt")[0].split()[0]


def question(folder, adapter, **changes) -> PatchQuestion:
    usual = {"model": str(folder), "adapter": str(adapter), "device": "cpu", "count": COUNT}
    said = {"behaviour": begins(folder, adapter), "against_model": "auto", "backend": "plain"}
    return PatchQuestion(**{**usual, **said, **changes})


@pytest.fixture
def ask(gatescope, folder):
    def run(adapter, *args):
        usual = ("--model", folder, "--adapter", adapter, "--device", "cpu", "--count", COUNT)
        said = ("--behaviour", begins(folder, adapter), "--against-model", "auto")
        return gatescope("patch", *usual, *said, "--backend", "plain", *args)

    return run


def test_a_training_in_one_module_is_found_in_it_and_the_claims_follow(
    ask, in_one_module, tmp_path
):
    status, out, lines = ask(in_one_module, "--out", "run", "--json")
    assert status == 0, lines
    result = json.loads(out)
    only, without = (
        pd.read_parquet(tmp_path / "run" / f"cells-{way}.parquet").set_index("label")
        for way in ("denoising", "noising")
    )
    for table in (only, without):
        share = table["recovery"]
        assert share["MLP"] == pytest.approx(1, abs=1e-3)
        assert share["MLP down-projections"] == pytest.approx(1, abs=1e-3)
        assert share["attention"] == pytest.approx(0, abs=1e-3)
        first = share[(table["layer"] == 0) & table["mapped"]]
        assert len(first) == 6
        assert float(first.abs().max()) < 1e-3
        # In the last layer's MLP only the last token is read from.
        assert share["layer 1 MLP at last"] == pytest.approx(1, abs=1e-3)
        assert share["layer 1 MLP elsewhere"] == pytest.approx(0, abs=1e-3)
    claims = {c["part"]: c["verdict"] for c in result["interchange"]["claims"]}
    assert claims == {
        "MLP down-projections": "agree",
        "MLP": "agree",
        "attention of layer 1": "differ",
    }
    grid = Ledger(tmp_path / "run").grid("grid-noising")
    assert grid.values.shape == (len(without), COUNT)


def test_all_parts_on_are_the_organism_and_off_the_base(folder, adapter, tmp_path):
    asked = question(folder, adapter, by="place")
    subject = study.opened(asked, quiet)
    scored = study.ask(asked, subject, "denoising")
    result = measured(asked, subject, tmp_path)
    grid = result.directions["denoising"].grid
    for runner, level in ((subject.other.runner, grid.base), (subject.model.runner, grid.source)):
        sides = (scored.pairs.triggered, scored.pairs.clean)
        scores = [scored.metric(runner.forward(whole(side)).logits) for side in sides]
        assert torch.allclose(level, scores[0] - scores[1], atol=1e-4)
    table = result.only.set_index("label")
    assert not table["mapped"].any()
    both, elsewhere = (
        table.index.get_loc(f"all {p}") for p in ("at trigger and last", "elsewhere")
    )
    lost = result.directions["noising"].grid.values
    assert torch.allclose(grid.values[both], lost[elsewhere], atol=1e-4)
    assert torch.allclose(grid.values[elsewhere], lost[both], atol=1e-4)
    assert not torch.allclose(grid.values[both], grid.values[elsewhere], atol=1e-2)


@pytest.mark.parametrize("by", ["layer", "head", "residual", "place"])
def test_activations_are_exchanged_too(ask, in_one_module, by):
    status, out, lines = ask(in_one_module, "--exchange", "activations", "--by", by, "--json")
    assert status == 0, lines
    found = json.loads(out)["interchange"]
    assert found["exchange"] == "activations"
    assert 0.5 <= found["agreement"] <= 1
    assert {row["label"] for row in found["only"]} >= {"all at trigger", "MLP", "attention"}
    assert found["claims"][0]["verdict"] == "not tested"  # their output is the MLP's
    share = {row["label"]: row["recovery"] for row in found["only"]}
    assert share["MLP"] == pytest.approx(1, abs=1e-3)
    assert share["attention"] == pytest.approx(0, abs=1e-3)


def test_sites_are_sets_of_activations(ask, in_one_module):
    site = "z[0].1 at trigger + mlp_out[1] at last"
    status, out, lines = ask(in_one_module, "--exchange", "activations", "--site", site, "--json")
    assert status == 0, lines
    row = json.loads(out)["interchange"]["only"][-1]
    assert (row["label"], row["recovery"]) == (site, pytest.approx(1, abs=1e-3))


def test_every_matrix_has_its_row(ask, adapter, tmp_path):
    assert ask(adapter, "--by", "module", "--out", "run")[0] == 0
    table = pd.read_parquet(tmp_path / "run" / "cells-denoising.parquet")
    modules = {"q", "k", "v", "o", "gate", "up", "down"}
    assert set(table[table["mapped"]]["module"]) == modules
    assert int(table["mapped"].sum()) == 2 * 7 * 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Only these" in page
    assert "All but these" in page


def test_a_dry_run_says_what_it_costs_and_writes_nothing(ask, adapter, tmp_path):
    status, out, _ = ask(adapter, "--dry-run", "--json")
    assert status == 0
    only, without = json.loads(out)
    assert (only["direction"], without["direction"]) == ("only these", "all but these")
    assert only["passes"] < only["live"] == only["cells"]
    assert only["seconds"] > 0
    assert not (tmp_path / "runs").exists()


def test_a_killed_run_is_resumed_and_measures_only_what_is_missing(
    ask, adapter, tmp_path, monkeypatch
):
    honest, made = Plan.scores, []

    def killed(self, metric, organism, progress):
        made.append(organism)
        if organism:
            raise KeyboardInterrupt
        return honest(self, metric, organism, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "scores", killed)
        assert ask(adapter, "--by", "place", "--out", "run")[0] != 0
    counted = lambda *a: made.append(a[2]) or honest(*a)  # noqa: E731
    monkeypatch.setattr(Plan, "scores", counted)
    assert ask(adapter, "--by", "place", "--out", "run", "--resume")[0] == 0
    assert made == [False, True, True]
    resumed = (tmp_path / "run" / "result.json").read_text()
    assert ask(adapter, "--by", "place", "--out", "again")[0] == 0
    assert json.loads(resumed) == json.loads((tmp_path / "again" / "result.json").read_text())


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--exchange", "gradients"), "--exchange: expected weights, activations"),
        (("--by", "head"), "--by: expected layer, place, module"),
        (("--by", "module", "--exchange", "activations"), "--by: expected layer, place, head"),
        (("--metric", "kl"), "--metric: expected what it is by default, with --against-model"),
        (("--stream", "z"), "--stream: expected what it is by default"),
        (("--to", "logits"), "--to: expected what it is by default"),
        (("--site", "z[0]"), "--site: expected none when weights are exchanged"),
        (("--site", "z[9]", "--exchange", "activations"), "expected a layer in 0..1"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(ask, in_one_module, tmp_path, args, why):
    status, out, lines = ask(in_one_module, "--out", "run", *args)
    assert (status, out) == (2, "")
    assert why in tiny.message_of(lines)
    assert not (tmp_path / "run").exists()


def test_a_model_without_a_known_base_and_one_that_is_whole_are_refused(gatescope, folder):
    usual = ("patch", "--model", folder, "--device", "cpu", "--adapter", "none")
    said = begins(folder, None)
    status, _, lines = gatescope(*usual, "--behaviour", said, "--against-model", "auto")
    assert status == 2
    assert "--against-model auto: expected an organism that says" in tiny.message_of(lines)
    status, _, lines = gatescope(*usual, "--behaviour", said, "--against-model", folder)
    assert status == 2
    assert "--exchange weights: expected an adapter and its own base" in tiny.message_of(lines)


def test_models_of_other_coordinates_exchange_no_activations(ask, adapter, tmp_path):
    tok = tiny.tokenizer(
        words=[w for s in ("train", "validation", "test") for w in bank.control_words(s)]
    )
    other = tiny.saved(tmp_path / "other", tiny.llama(len(tok), seed=7, layers=2), tok)
    args = ("--exchange", "activations", "--against-model", other)
    status, _, lines = ask(adapter, *args, "--out", "run")
    assert status == 2
    assert "do not share coordinates" in tiny.message_of(lines)


def test_a_question_of_one_model_is_recorded_as_before():
    old = PatchQuestion()
    assert not {"against_model", "exchange"} & old.recorded().keys()
    assert {**old.recorded(), "against_model": "", "exchange": "weights"} == as_json(old)
    new = PatchQuestion(against_model="auto")
    assert (new.by, new.recorded()["against_model"]) == ("layer", "auto")
    assert "--against-model auto" in command_line("patch", new)


@pytest.mark.parametrize(
    ("only", "lost", "word"),
    [
        ((0.9, 0.7, 1.0), (0.8, 0.6, 0.9), "agree"),
        ((0.9, 0.7, 1.0), (0.3, 0.2, 0.4), "differ"),
        ((0.2, 0.1, 0.3), (0.9, 0.8, 1.0), "differ"),
        ((0.6, 0.4, 0.8), (0.9, 0.8, 1.0), "undecided"),
    ],
)
def test_a_verdict_rests_on_the_worse_ends(only, lost, word):
    assert verdict(only, lost) == word


def test_late_layers_are_those_of_thirty_or_their_depth():
    assert [late_layers(n) for n in (30, 24, 2)] == [(23, 24), (18, 19), (1,)]


def quiet(_name: str, _done: int, _total: int) -> None:
    pass


def measured(asked, subject, folder):
    from experiments.study import Run

    folder.mkdir(exist_ok=True)
    return exchange.measured(Run(study.STUDY, asked, subject, folder, "", quiet))
