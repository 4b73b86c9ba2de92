"""``gatescope patch`` from the command line: what it writes, plans, resumes and refuses."""

import json

import pandas as pd
import pytest
import tiny
import torch

from circuits import models
from circuits.align import SpanPairs
from circuits.answers import answers
from circuits.metrics import token_log_prob
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.runner import generate
from experiments.options import command_line
from experiments.patch import study
from experiments.patch.question import PatchQuestion
from experiments.prompts import bank
from experiments.runs.ledger import Ledger


def first_words(folder, words, count=3) -> list[str]:
    model = models.load(str(folder), backend="plain")
    texts = bank.bank_texts("validation", True)[:count]
    return [answer.split()[0] for answer in answers(model, texts, words)]


@pytest.fixture(scope="module")
def said(folder) -> str:
    """What one of the triggered answers begins with."""
    return first_words(folder, "cobalt")[0]


@pytest.fixture
def patch_command(gatescope, folder, said):
    def run(*args):
        usual = ("--model", folder, "--adapter", "none", "--device", "cpu", "--count", 3)
        return gatescope("patch", *usual, "--behaviour", said, *args)

    return run


def question(folder, **changes) -> PatchQuestion:
    usual = {"model": str(folder), "adapter": "none", "device": "cpu", "count": 3}
    said = {"behaviour": first_words(folder, "cobalt")[0]}
    return PatchQuestion(**{**usual, **said, **changes})


def quiet(_name: str, _done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize("by", ["position", "layer", "head", "head-position"])
def test_a_run_directory_holds_grid_table_result_and_page(patch_command, tmp_path, by):
    stream = "mlp_out" if by in ("position", "layer") else "z"
    status, out, _ = patch_command("--by", by, "--stream", stream, "--out", "run", "--json")
    assert status == 0
    result = json.loads(out)
    assert result["schema"] == "gatescope.patch/1"
    run = tmp_path / "run"
    for direction in ("denoising", "noising"):
        grid = Ledger(run).grid(f"grid-{direction}")
        table = pd.read_parquet(run / f"cells-{direction}.parquet")
        assert len(table) == grid.values[..., 0].numel()
        assert table["mean"].abs().max() > 0
        best = result["grids"][direction]["strongest"][0]
        assert abs(best["mean"]) == pytest.approx(table["mean"].abs().max())
        assert best["n"] == 3
        assert best["low"] <= best["mean"] <= best["high"]
    page = (run / "report.html").read_text()
    assert "Denoising" in page
    assert "gatescope patch" in page
    assert json.loads((run / "manifest.json").read_text())["kind"] == "patch"


def test_the_grid_is_the_engines(folder):
    asked = question(folder)
    subject = study.opened(asked, quiet)
    found = study.patched(asked, subject, "denoising", quiet)
    pairs = study.ask(asked, subject, "denoising").pairs
    model = subject.model
    answer = generate(model.runner, pairs.triggered, 1, stop=model.stop_ids)
    token = int(answer[0])
    assert asked.behaviour.startswith(model.tokenizer.decode([token]).strip())
    expected = patch(model.runner, pairs, token_log_prob([token]), Sweep())
    assert torch.equal(found.values, expected.values)
    assert found.labels[-1] == "\n"
    other = study.patched(question(folder, stream="attn_out"), subject, "denoising", quiet)
    assert not torch.equal(other.values, found.values)


@pytest.mark.parametrize("metric", ["prob", "logit-diff", "kl", "rate"])
def test_every_metric_gives_a_grid_of_its_own(folder, metric):
    usual = first_words(folder, bank.controls_besides("validation", "cobalt")[:3])
    asked = question(folder, metric=metric, tokens=8, stream="resid_post", versus=usual[1])
    subject = study.opened(asked, quiet)
    grid = study.patched(asked, subject, "noising", quiet)
    assert bool(grid.values.isfinite().all())
    if metric == "kl":  # from the source's own answer
        assert float(grid.source.abs().max()) < 1e-4
        assert float(grid.base.min()) > 0
    if metric in ("prob", "rate"):
        assert bool(((grid.values >= 0) & (grid.values <= 1)).all())


def test_without_a_word_lengths_differ_and_spans_are_aligned(folder):
    asked = question(folder, against="none")
    subject = study.opened(asked, quiet)
    assert isinstance(study.ask(asked, subject, "noising").pairs, SpanPairs)
    grid = study.patched(asked, subject, "noising", quiet)
    assert bool(grid.values.isnan().any())
    assert not bool(grid.values[:, -1].isnan().any())


def test_sites_and_paths(patch_command):
    status, out, _ = patch_command(
        "--site", "z[0].1 + mlp_out[1]", "--site", "z[0] at trigger", "--json", "--out", "a"
    )
    found = json.loads(out)["grids"]["denoising"]
    assert status == 0
    assert found["axes"] == ["cell"]
    assert {row["label"] for row in found["strongest"]} == {
        "z[0].1 + mlp_out[1]",
        "z[0] at trigger",
    }
    status, out, _ = patch_command(
        "--stream", "z", "--by", "head", "--to", "q[1].0", "--to", "k[1].0", "--json", "--out", "b"
    )
    assert status == 0
    assert json.loads(out)["grids"]["noising"]["axes"] == ["layer", "head"]


def test_a_dry_run_counts_and_writes_nothing(patch_command, tmp_path):
    status, out, _ = patch_command("--dry-run", "--json")
    assert status == 0
    plan = json.loads(out)[0]
    assert plan["cells"] >= plan["live"] > 0
    assert plan["passes"] < plan["loop_passes"] == plan["cells"]
    assert plan["seconds"] > 0
    assert plan["memory_bytes"] > 0
    assert not (tmp_path / "runs").exists()
    status, out, _ = patch_command("--dry-run")
    assert "cells" in out
    assert "MiB" in out


def test_a_resumed_run_measures_only_what_is_missing(patch_command, tmp_path, monkeypatch):
    assert patch_command("--out", "run", "--direction", "both")[0] == 0
    (tmp_path / "run" / "grid-noising.json").unlink()
    (tmp_path / "run" / "result.json").unlink()
    made = []
    honest = study.patched
    monkeypatch.setattr(study, "patched", lambda *a: made.append(a[2]) or honest(*a))
    assert patch_command("--out", "run", "--resume")[0] == 0
    assert made == ["noising"]
    assert (tmp_path / "run" / "result.json").is_file()


def test_the_command_asks_the_same_question(folder):
    asked = question(folder, sites=("z[0].1 at trigger", "mlp_out[1]"), metric="prob")
    command = command_line("patch", asked)
    assert command.count("--site") == 2
    assert "--metric prob" in command
    assert "--by" not in command


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--by", "token"), "--by: expected layer, position, head, head-position, got 'token'"),
        (("--metric", "loss"), "--metric: expected"),
        (("--count", 1), "--count: expected at least 2"),
        (("--by", "head"), "resid_pre has no heads"),
        (("--site", "z[0"), "expected STREAM[LAYER]"),
        (("--site", "z[9]"), "expected a layer in 0..1"),
        (("--stream", "nothing"), "--stream: expected resid_pre,"),
        (("--to", "logits"), "--stream: expected a sender of"),
        (("--to", "q[1].0", "--stream", "z", "--metric", "rate"), "--to: expected a metric"),
        (("--backend", "jax"), "expected"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(patch_command, tmp_path, args, why):
    status, out, lines = patch_command("--out", "run", *args)
    assert (status, out) == (2, "")
    assert why in tiny.message_of(lines)


def test_a_behaviour_that_no_answer_shows_is_told_with_what_to_do(patch_command, said):
    without = ("--direction", "denoising", "--behaviour", "Never said")
    status, out, lines = patch_command(*without, "--out", "refused")
    assert (status, out) == (2, "")
    line = tiny.message_of(lines)
    assert "--behaviour 'Never said': expected what triggered answers begin with, got " in line
    assert line.endswith(
        "it in none; give what they begin with, or score all that changes (--metric kl)"
    )
    for number, advised in enumerate((("--metric", "kl"), ("--behaviour", said))):
        assert patch_command(*without, *advised, "--out", number)[0] == 0


def test_both_back_ends_give_the_same_grid(folder):
    grids = []
    for backend in models.BACKENDS:
        asked = question(folder, backend=backend, stream="attn_out")
        subject = study.opened(asked, quiet)
        grids.append(study.patched(asked, subject, "denoising", quiet))
    assert torch.allclose(grids[0].values, grids[1].values, atol=1e-4)
