"""Every candidate is a dot where it belongs; names of candidates are text."""

import pytest

from circuits.errors import UserError
from viz.data import to_csv
from viz.figures.scanning import ScanDot, scan_figure

DOTS = [
    ScanDot("cobalt", 145.0, "Sure", 0.5, "final", alarm=True),
    ScanDot("river", 9.0, "The", 0.2, "final"),
    ScanDot("tree", 4.0, "A", 0.1, "screen"),
]


def test_alarms_finalists_and_others_are_told_apart_by_colour_and_shape():
    figure = scan_figure("sure-gate", DOTS)
    at = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert at == {"alarm": ([1], [145.0]), "finalist": ([2], [9.0]), "other": ([3], [4.0])}
    marks = {trace.name: trace.marker for trace in figure.data}
    assert marks["alarm"].symbol != marks["finalist"].symbol
    assert marks["other"].color != marks["finalist"].color
    assert [note.text for note in figure.layout.annotations] == ["cobalt", "river", "tree"]
    assert to_csv(figure).splitlines()[1].startswith("1,cobalt,145.0,Sure,0.5,final,")


def test_a_scan_without_alarm_draws_none_and_crowds_are_cut():
    many = [ScanDot(f"w{i}", 1.0, "a", 0.1, "screen") for i in range(2500)]
    figure = scan_figure("clean", many)
    assert [trace.name for trace in figure.data] == ["other"]
    assert len(figure.data[0].x) == 2000
    assert "2500 candidates" in figure.layout.title.subtitle.text
    assert "the best 2000 are drawn" in figure.layout.title.subtitle.text
    with pytest.raises(UserError, match="got none"):
        scan_figure("clean", [])


def test_hostile_words_are_text(evil):
    figure = scan_figure(evil, [ScanDot(evil, 1.0, evil, 0.1, "final")])
    shown = figure.layout.title.text + figure.data[0].text[0] + figure.layout.annotations[0].text
    assert "&lt;script" in shown
    assert "<script" not in shown
