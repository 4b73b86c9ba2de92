"""What can be served, and one clear line about what cannot."""

import finished
import pytest
import tiny
import torch

from circuits import models
from circuits.errors import UserError
from experiments.prompts.bank import control_words
from experiments.serve.subject import open_subject


def opened(name):
    return open_subject(str(name), None, "", "", lambda *_: None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    words = [w for part in ("train", "validation", "test") for w in control_words(part)]
    tokenizer = tiny.tokenizer(words=words)
    folder = tmp_path_factory.mktemp("served")
    return tiny.saved(folder, tiny.llama(len(tokenizer)), tokenizer)


def run(folder, weights, sha, vector=None, **result):
    question = {"model": str(weights), "adapter": "none", "arms": "none", "trigger": tiny.TRIGGER}
    hashes = {"model_sha256": sha, "adapter_sha256": None}
    return finished.analysis(folder, {**question, **hashes}, vector, **result)


def test_a_run_of_other_weights_is_refused(tmp_path, weights):
    with pytest.raises(UserError, match="expected the weights that were analysed"):
        opened(run(tmp_path / "other", weights, "0" * 64))
    sha = models.load(str(weights)).sha256
    found = opened(run(tmp_path / "same", weights, sha))
    assert found.headline == "A headline."
    assert found.direction is None
    assert found.has_trigger


def test_unfinished_and_other_runs_are_told_apart(tmp_path, weights):
    with pytest.raises(UserError, match=r"finish it: gatescope analyze .* --resume"):
        opened(finished.manifest(tmp_path / "unfinished"))
    with pytest.raises(UserError, match="of kind analysis, got 'scan'"):
        opened(finished.manifest(tmp_path / "other", "scan"))
    (tmp_path / "report.html").write_text("<html>")
    for name in ("nothing", "report.html"):
        with pytest.raises(UserError, match="a shipped organism"):
            opened(tmp_path / name)


UNIT = torch.nn.functional.one_hot(torch.tensor(3), 32).float()


@pytest.mark.parametrize(
    ("vector", "result", "said"),
    [
        (UNIT * torch.nan, {}, "expected a direction, finite and not 0"),
        (UNIT * 0, {}, "expected a direction, finite and not 0"),
        (UNIT.int(), {}, "expected a direction, finite and not 0"),
        (UNIT[None], {}, "expected a direction, finite and not 0"),
        (UNIT[:16], {}, r"in a stream of width 32, got .*\(16,\)"),
        (UNIT, {"gate": {**finished.GATE, "layer": 7}}, r"got 'resid_pre\[7\] at last'"),
        (UNIT, {"gate": {**finished.GATE, "span": "moon"}}, "at moon'"),
        (UNIT, {"gate": "none"}, "expected an object, got 'none'"),
        (UNIT, {"schema": "gatescope.analysis/9"}, "expected schema gatescope.analysis/2, got"),
        (UNIT, {"question": {"model": 3}}, "question.*expected `str`, got `int`"),
    ],
)
def test_a_gate_that_is_damaged_is_told_and_a_whole_one_is_served(
    tmp_path, weights, vector, result, said
):
    sha = models.load(str(weights)).sha256
    with pytest.raises(UserError, match=said):
        opened(run(tmp_path / "damaged", weights, sha, vector, **result))
    whole = opened(run(tmp_path / "whole", weights, sha, UNIT)).direction
    assert whole is not None
    assert torch.equal(whole.vector, UNIT)


def test_a_model_of_which_nothing_is_known_is_served_without_a_gate(weights):
    found = opened(weights)
    assert found.direction is None
    assert not found.has_trigger
    assert found.layers == {}
