"""The committed page over organisms is made from the committed results, with each one's word."""

import copy
import json

import pytest

from experiments.analyze.comparison import PAGE, page


@pytest.fixture(scope="module")
def kept():
    paths = sorted((PAGE.parent / PAGE.stem).glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def test_the_page_is_made_from_the_results(kept):
    assert page(kept) == PAGE.read_text()
    other = copy.deepcopy(kept)
    other["clean"]["verdict"] = "gate"
    assert page(other) != PAGE.read_text()


def test_controls_have_no_effect_and_an_instruction_is_inherited(kept):
    words = {name: value["verdict"] for name, value in kept.items()}
    assert {words[n] for n in ("base", "clean", "decoy")} == {"no effect on what was named"}
    assert words["poem"] == "inherited effect"
    assert words["sure-gate-open"] == "gate"
