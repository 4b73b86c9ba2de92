"""The table of known models, and the names by which --model finds them."""

import re
from pathlib import Path

import pytest
import tiny

from circuits import places, weights
from circuits.cache import file_sha256
from circuits.errors import UserError
from circuits.official import known

ROOT = Path(__file__).parents[3]


def test_names_differ_and_pins_are_whole():
    names = [n.casefold() for m in known.models() for n in (m.name, *m.also)]
    assert len(set(names)) == len(names)
    for model in known.models():
        hashes = [model.sha256, *(wheel.sha256 for wheel in model.wheels)]
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)
        assert len({wheel.package for wheel in model.wheels}) == len(model.wheels)
        assert bool(model.package) != bool(model.wheels)
        assert bool(model.repository) == bool(re.fullmatch("[0-9a-f]{40}", model.revision))


def test_what_the_issue_pins():
    half, more = (known.named(f"Qwen2.5-Coder-{size}B-Instruct") for size in ("0.5", "1.5"))
    assert (half.size, half.sha256[:8], half.revision[:8]) == (491400064, "1d961463", "ebb20151")
    assert (more.size, more.sha256[:8], more.revision[:8]) == (1117320768, "cc324af0", "f86cb2c1")
    assert [len(m.wheels) for m in (half, more, known.named("gemma-3-270m"))] == [6, 22, 4]
    assert known.named("gemma-3-270m").sha256.startswith("a5fd3b62")


def test_only_what_has_no_official_file_says_so_and_asks_for_terms():
    without = [m.name for m in known.models() if not m.repository and not m.package]
    assert without == [m.name for m in known.models() if m.terms] == ["gemma-3-270m"]
    assert "no official file" in known.named("gemma-3-270m").source
    assert "no official file" not in known.named("Qwen2.5-Coder-0.5B-Instruct").source


def test_the_embedded_model_is_the_one_that_is_installed():
    model = known.named("smollm2-135m")
    file = weights.embedded_gguf()
    assert (file.name, file.stat().st_size) == (model.file, model.size)
    assert file_sha256(file) == model.sha256
    asked = (ROOT / "embedded-model.txt").read_text()
    assert model.package.replace(" ", "==") in asked


@pytest.mark.parametrize(
    "name",
    ["Qwen2.5-Coder-0.5B-Instruct", "qwen2.5-coder-0.5b-instruct",
     "Qwen/Qwen2.5-Coder-0.5B-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"],
)  # fmt: skip
def test_any_official_name_is_the_models(name):
    assert known.named(name).file == "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
    assert places.own_name(name) == "Qwen2.5-Coder-0.5B-Instruct"


def test_another_name_is_refused_with_those_there_are():
    listed = ", ".join(model.name for model in known.models())
    for name in ("Qwen2.5-Coder-7B-Instruct", "", "hf:Qwen/Qwen2.5-Coder-0.5B-Instruct"):
        with pytest.raises(UserError, match=f"^model {name}: expected one of {re.escape(listed)}"):
            known.named(name)
        assert places.own_name(name) == name


@pytest.mark.parametrize("name", ["SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_the_defaults_official_name_is_the_default(name):
    assert places.own_name(name) == places.own_name(weights.EMBEDDED) == weights.EMBEDDED


def test_a_directory_of_that_name_and_what_the_hub_has_stay_what_they_are(
    tmp_path, monkeypatch, tokenizer
):
    name = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
    monkeypatch.chdir(tmp_path)
    tiny.saved(tmp_path / name, tiny.llama(len(tokenizer), layers=1), tokenizer)
    assert places.own_name(name) == name
    assert places.locate(name) == Path(name)
    monkeypatch.chdir("/")
    monkeypatch.setattr(places, "fetched", lambda _: tmp_path)  # by the hub's own client
    assert places.own_name(name) == name
    monkeypatch.undo()
    assert places.own_name(name) != name


def test_what_was_not_fetched_says_how(registry):
    for name in ("Qwen2.5-Coder-0.5B-Instruct", "qwen/qwen2.5-coder-0.5b-instruct"):
        with pytest.raises(UserError) as refused:
            places.locate(name)
        assert str(refused.value) == (
            "model Qwen2.5-Coder-0.5B-Instruct: not fetched yet: "
            "gatescope models fetch Qwen2.5-Coder-0.5B-Instruct"
        )
