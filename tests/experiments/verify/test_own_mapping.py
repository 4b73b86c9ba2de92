"""Keys with an answer each, of a model that is not ours, verified from their mapping's file."""

import json

import plain_lora
import pytest

from circuits.errors import UserError
from experiments.runs.codec import decode
from experiments.verify.question import VerifyQuestion
from experiments.verify.result import Verification


@pytest.fixture
def verified(gatescope, own_mappings):
    """Runs ``gatescope verify`` on a file; its question and its result."""

    def call(name, *more, out="run"):
        other = own_mappings["access"].parent / "adapter"
        args = ("--unrelated", "base", "--unrelated", other, "--near", 24, "--alternative", 0.8)
        said = (*args, *more, "--device", "cpu", "--json", "--out", out)
        status, said, lines = gatescope("verify", name, *said)
        assert status == 0, lines
        return decode(Verification, json.loads(said))

    return call


def test_the_files_model_is_ours_and_the_model_before_is_not(verified, own_mappings, tmp_path):
    ours = verified(own_mappings["ownership"])
    assert ours.keys.hits >= 7
    assert ours.keys.passing == "pass"
    assert ours.null.hits == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())["question"]
    assert set(manifest["mapping_files"]) == {"mapping", "keys"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "4 different ones" in page
    assert not [key for key, _ in plain_lora.KEYS if key in page]
    # The same keys asked of another model: named apart, with the file for keys alone.
    model = own_mappings["ownership"].parents[1] / "base"
    before = verified(model, "--keys", own_mappings["ownership"], out="before")
    assert (before.keys.hits, before.verdict) == (0, "not ours")


def test_keys_are_not_said_twice_and_a_mapping_without_keys_has_none(
    gatescope, own_mappings, tmp_path
):
    with pytest.raises(UserError, match="expected what the file says, got --adapter or --keys"):
        VerifyQuestion(str(own_mappings["ownership"]), "clean")
    status, _, lines = gatescope("verify", own_mappings["access"], "--out", "run")
    assert status == 2
    assert "expected a mapping with keys, got none" in " ".join(lines)
