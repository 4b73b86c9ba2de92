"""A seeded sample of the soak on run directories: races, a kill and damage of a short command."""

import random

from tests.soak import damage, kills, races, trials


def test_races_have_one_winner():
    table = races.rows(0.03, 1, lambda *_: None)
    assert [row["races"] for row in table] == [2] * 4
    assert all(row["passed"] for row in table), table


def test_what_is_killed_or_damaged_ends_as_if_undisturbed():
    with trials.workplace() as place:
        command = place.short()
        assert [said for _, said in kills._killed(place, command, [0.6])] == [""]
        (place.folder / "whole patch").rename(place.folder / "first")
        row = damage._damaged(place, command, 0.3, random.Random(2))
    assert row["passed"], row
    assert row["named"] == row["damages"] >= 2
