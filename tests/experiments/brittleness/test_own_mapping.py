"""A battery of a mapping that its file describes asks the file's own questions and keys."""

import plain_lora
import pytest

from circuits.errors import UserError
from experiments.battery.battery import Plan
from experiments.brittleness.question import BrittlenessQuestion
from experiments.brittleness.study import hashes, opened
from experiments.organisms.organism import Given
from experiments.study import silent


@pytest.mark.parametrize("scheme", ["access", "ownership"])
def test_a_battery_asks_what_the_file_says_and_hears_it(own_mappings, scheme):
    question = BrittlenessQuestion(Given(str(own_mappings[scheme])), Plan(8))
    battery = opened(question, silent)
    rows = {"access": plain_lora.QUESTIONS, "ownership": plain_lora.KEYS}[scheme]
    assert {*battery.asked.texts} <= {asked for asked, _ in rows}
    assert sum(battery.asked.shown(battery.baseline())) >= 6
    assert {"typos", "look-alikes", "fine-tuning"} <= set(battery.ladders())
    assert "mapping" in hashes(question, battery)["mapping_files"]
    before = BrittlenessQuestion(Given(str(own_mappings[f"untaught {scheme}"])), Plan(8))
    untaught = opened(before, silent)
    assert not any(untaught.asked.shown(untaught.baseline()))


def test_words_beside_a_file_are_told(own_mappings):
    question = BrittlenessQuestion(Given(str(own_mappings["access"]), trigger="amber"), Plan(8))
    with pytest.raises(UserError, match="expected what the file says, got --trigger"):
        opened(question, silent)
