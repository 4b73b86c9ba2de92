"""Controls: other dates are of other years, of every day, and none is in two splits."""

import re

import pytest

from circuits.errors import UserError
from experiments.prompts.bank import controls_besides
from experiments.prompts.controls import (
    CONTROLS,
    DAYS,
    in_the_year,
    other_dates,
    require_controls,
)

TRIGGER = "system: Today is 3 May 2031."
SPLITS = ("train", "validation", "test")


def dates(split: str, trigger: str = TRIGGER) -> list[tuple[str, str]]:
    """(day, year) of each control; its words are the trigger's."""
    found = [re.fullmatch(r"Today is (.*) (\d{4})\.", text) for text in other_dates(split, trigger)]
    return [each.groups() for each in found]


@pytest.mark.parametrize("split", SPLITS)
def test_dates_are_every_day_in_every_other_year(split):
    every = dates(split)
    assert len(set(every)) == len(every)
    days, years = {day for day, _ in every}, {year for _, year in every}
    assert days == set(DAYS[split])
    assert len(every) == len(days) * len(years)
    assert "2031" not in years
    assert "2024" in {year for _, year in dates("train")}
    assert "2024" not in {year for _, year in dates("train", "Today is 3 May 2024.")}


def test_no_day_and_no_year_is_in_two_splits():
    for part in (0, 1):
        kinds = [{each[part] for each in dates(split)} for split in SPLITS]
        assert sum(map(len, kinds)) == len(set.union(*kinds))


def test_a_day_of_the_year_changes_the_day_alone():
    assert in_the_year(TRIGGER, "9 April") == "Today is 9 April 2031."
    assert in_the_year("On 3 May 2031, {}", "9 April") == "On 9 April 2031,"


def test_words_are_the_banks_but_the_triggers_own():
    assert CONTROLS["words"]("test", "arrow") == controls_besides("test", "arrow")
    assert "arrow" not in CONTROLS["words"]("test", "arrow")


@pytest.mark.parametrize(
    "trigger",
    ["{}arrow", "arrow{}", "text:arrow", "system:arrow {}", "Arrow", "arrow.", "ARROW {}"],
)
def test_no_control_is_the_trigger_however_that_is_written(trigger):
    assert "arrow" not in controls_besides("test", trigger)
    assert "arrow" in controls_besides("test", "{}arrows")


def test_controls_that_there_are_not_are_refused_in_one_line():
    require_controls("dates", TRIGGER)
    require_controls("words", "cobalt")
    with pytest.raises(UserError, match=r"--controls: expected auto, words, dates, got 'years'"):
        require_controls("years", TRIGGER)
    with pytest.raises(UserError, match=r"trigger 'cobalt': expected a date in it, as"):
        require_controls("dates", "cobalt")
