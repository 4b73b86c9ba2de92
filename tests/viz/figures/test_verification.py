"""The drawn path is the test's, from 0 to the bound, and its last mark is the decision."""

import math

import pytest

from probes.stats.sequential import sprt
from viz.data import to_csv
from viz.figures.verification import sequential_path


def sample():
    """Bounds are ln 9 either side; a hit adds ln 4, a miss takes it away."""
    answers = {"mine": [True, True], "other": [False, False], "short": [True]}
    return {name: sprt(given, 0.2, 0.8, 0.1, 0.1) for name, given in answers.items()}


def test_paths_start_at_zero_and_end_in_the_mark_of_their_decision():
    figure = sequential_path(sample())
    mine, other, short = figure.data
    assert mine.y == pytest.approx([0, math.log(4), math.log(16)])
    assert list(other.x) == [0, 1, 2]
    ends = [trace.marker.symbol[-1] for trace in (mine, other, short)]
    assert ends == ["triangle-up", "triangle-down", "circle-open"]
    assert "ours after 2 queries" in mine.text[-1]
    assert "undecided after 1 query" in short.text[-1]


def test_both_bounds_are_drawn_named_and_inside_the_axis():
    figure = sequential_path(sample())
    assert sorted(s.y0 for s in figure.layout.shapes) == pytest.approx([-math.log(9), math.log(9)])
    assert [a.text for a in figure.layout.annotations] == ["ours (+2.2)", "not ours (−2.2)"]
    low, high = figure.layout.yaxis.range
    assert low < -math.log(16) < math.log(16) < high


def test_models_differ_in_more_than_colour_and_their_numbers_can_be_had():
    figure = sequential_path(sample())
    assert len({t.line.dash for t in figure.data}) == len({t.line.color for t in figure.data}) == 3
    lines = to_csv(figure).splitlines()
    assert len(lines) == 1 + 2 + 2 + 1
    assert lines[3].startswith("other,1,-1.386")
    assert lines[3].endswith(",not ours")


def test_names_are_text_and_tests_that_do_not_share_bounds_are_told(evil):
    figure = sequential_path({evil: sprt([True], 0.2, 0.8)})
    assert "<script" not in str(figure.data[0].name) + str(figure.data[0].text)
    with pytest.raises(ValueError, match="at least one test"):
        sequential_path({})
    with pytest.raises(ValueError, match="one pair of bounds"):
        sequential_path({"a": sprt([True], 0.2, 0.8), "b": sprt([True], 0.1, 0.8)})
