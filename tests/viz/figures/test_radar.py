"""The radar draws counted shares and stops where there are none."""

import pytest

from circuits.errors import UserError
from viz.data import to_csv
from viz.figures.radar import Cleared, property_radar

SCORES = (Cleared("effectiveness", 4, 5), Cleared("harm", 0, 4), Cleared("cost", 2, 2))


def test_the_radar_shows_the_share_cleared_and_closes_its_line():
    figure = property_radar({"one": SCORES})
    (line,) = figure.data
    assert list(line.r) == pytest.approx([80, 0, 100, 80])
    assert line.theta[0] == line.theta[-1] == "effectiveness"
    assert line.fill == "toself"
    assert "one,effectiveness,4,5,0.8" in to_csv(figure)
    assert "4 of 5 cleared" in line.text[0]


def test_a_property_without_thresholds_has_no_point_and_no_area_is_filled():
    figure = property_radar({"one": (*SCORES, Cleared("robustness", 0, 0))})
    assert figure.data[0].r[3] is None
    assert figure.data[0].fill == "none"


def test_two_cards_differ_in_more_than_colour():
    figure = property_radar({"one": SCORES, "two": SCORES})
    a, b = figure.data
    assert (a.line.dash, a.marker.symbol) != (b.line.dash, b.marker.symbol)
    with pytest.raises(UserError, match="cards of the same properties"):
        property_radar({"one": SCORES, "two": SCORES[:2]})
    with pytest.raises(UserError, match="one to three cards"):
        property_radar({})


def test_names_from_outside_are_shown_as_text():
    figure = property_radar({"<b>x</b>": SCORES, "y": SCORES})
    assert figure.data[0].name == "&lt;b&gt;x&lt;/b&gt;"
