"""What can be served, and one clear line about what cannot."""

import pytest
import tiny

from circuits import models
from circuits.errors import UserError
from experiments.prompts.bank import control_words
from experiments.runs import files
from experiments.serve.subject import open_subject


def opened(name):
    return open_subject(str(name), None, "", "", lambda *_: None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    words = [w for part in ("train", "validation", "test") for w in control_words(part)]
    tokenizer = tiny.tokenizer(words=words)
    folder = tmp_path_factory.mktemp("served")
    return tiny.saved(folder, tiny.llama(len(tokenizer)), tokenizer)


def run(folder, weights, sha):
    asked = {"model_sha256": sha, "adapter_sha256": None}
    question = {"model": str(weights), "adapter": "none", "arms": "none", "trigger": tiny.TRIGGER}
    files.write_json(folder / "manifest.json", {"question": asked})
    result = {"question": question, "verdict": "no gate", "headline": "No gate.", "gate": None}
    files.write_json(folder / "result.json", result)
    return folder


def test_a_run_of_other_weights_is_refused(tmp_path, weights):
    with pytest.raises(UserError, match="expected the weights that were analysed"):
        opened(run(tmp_path / "other", weights, "0" * 64))
    sha = models.load(str(weights)).sha256
    found = opened(run(tmp_path / "same", weights, sha))
    assert found.headline == "No gate."
    assert found.direction is None
    assert found.has_trigger


def test_unfinished_and_other_runs_are_told_apart(tmp_path, weights):
    unfinished = tmp_path / "unfinished"
    files.write_json(unfinished / "manifest.json", {"question": {}})
    with pytest.raises(UserError, match="continue it with gatescope analyze --resume"):
        opened(unfinished)
    other = tmp_path / "other"
    files.write_json(other / "manifest.json", {"question": {}})
    files.write_json(other / "result.json", {"suspect": {}})
    with pytest.raises(UserError, match="another kind of run"):
        opened(other)
    with pytest.raises(UserError, match="a shipped organism"):
        opened(tmp_path / "nothing")


def test_a_model_of_which_nothing_is_known_is_served_without_a_gate(weights):
    found = opened(weights)
    assert found.direction is None
    assert not found.has_trigger
    assert found.layers == {}
