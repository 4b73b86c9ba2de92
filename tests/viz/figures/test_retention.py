"""Every dose stands in its family's panel, every family in the forest, with their intervals."""

import pytest
import torch

from circuits.errors import UserError
from probes.brittleness.retention import Dose, Retention, retention
from probes.stats.intervals import Estimate, wilson
from viz.data import to_csv
from viz.figures.forest import ForestRow, forest
from viz.figures.retention import retention_curves, retention_forest
from viz.theme import VERMILION


def measured() -> Retention:
    """Ten prompts; typos leave 8 and 4 of them, capitals 10 and 6, two lengths 9 and 5."""
    doses = [
        Dose("typos", 2, "two edits", "edits"),
        Dose("typos", 1, "one edit", "edits"),
        Dose("case", 1, "upper"),
        Dose("case", 2, "title"),
        Dose("distractor", 40, "short", "words"),
        Dose("distractor", 240, "long", "words"),
    ]
    left = torch.tensor([4, 8, 10, 6, 9, 5])
    shown = torch.arange(10)[None] < left[:, None]
    return retention(doses, shown, torch.ones(10, dtype=torch.bool))


def dots(figure, family):
    return next(trace for trace in figure.data if trace.name == family)


def curve(figure, family):
    """What is drawn in the dots' panel besides them."""
    axis = dots(figure, family).xaxis
    return next(t for t in figure.data if t.xaxis == axis and t.mode == "lines")


def test_an_ordered_family_is_a_line_from_all_at_level_zero_through_its_doses():
    figure = retention_curves(measured())
    line = curve(figure, "typos")
    assert list(line.x) == [0, 1, 2]
    assert list(line.y) == pytest.approx([100, 80, 40])
    points = dots(figure, "typos")
    assert list(points.x) == [2, 1]  # in the order given
    expected = wilson(4, 10)
    assert points.error_y.arrayminus[0] == pytest.approx(100 * (0.4 - expected.low))
    assert points.error_y.array[0] == pytest.approx(100 * (expected.high - 0.4))
    assert points.text[0].startswith("<b>typos</b><br>two edits<br>2 edits<br>kept 40.0% [")
    assert "n = 10 · 95% Wilson" in points.text[0]
    assert list(figure.layout.xaxis.ticktext) == ["0", "1", "2"]


def test_a_family_without_an_order_is_dots_at_the_line_of_their_mean():
    figure = retention_curves(measured())
    line, points = curve(figure, "case"), dots(figure, "case")
    assert list(line.y) == pytest.approx([80, 80])
    assert line.x[0] < points.x[0] < points.x[1] < line.x[1]
    assert list(points.y) == pytest.approx([100, 60])
    assert "upper<br>kept 100.0%" in points.text[0]  # without a level
    assert not figure.layout.xaxis2.tickvals
    assert line.line.dash == "dot"
    assert curve(figure, "typos").line.dash is None


def test_doses_of_one_level_are_averaged_by_the_line_and_drawn_apart_as_dots():
    doses = [Dose("noise", 1, "a", "s"), Dose("noise", 1, "b", "s")]
    shown = torch.arange(4)[None] < torch.tensor([[4], [2]])
    figure = retention_curves(retention(doses, shown, torch.ones(4, dtype=torch.bool)))
    assert list(curve(figure, "noise").y) == pytest.approx([100, 75])
    assert sorted(dots(figure, "noise").y) == pytest.approx([50, 100])


def test_panels_do_not_overlap_and_their_heads_tell_the_family_and_its_area():
    figure = retention_curves(measured())
    axes = [
        (figure.layout[f"xaxis{i}"].domain, figure.layout[f"yaxis{i}"].domain) for i in ("", 2, 3)
    ]
    (x1, y1), (x2, y2), (x3, y3) = axes
    assert x1[1] < x2[0]  # side by side
    assert y1 == y2
    assert (x3, y3[1] < y1[0]) == (x1, True)  # the third below the first
    heads = [note.text for note in figure.layout.annotations]
    assert heads[0] == "<b>typos</b><br>75% · edits"  # (1 + 0.8) / 4 + (0.8 + 0.4) / 4
    assert heads[1] == "<b>case</b><br>80% · 2 doses"
    assert "area kept 75.0% [" in figure.layout.annotations[0].hovertext


def test_labels_of_levels_keep_apart_on_the_axis():
    doses = [Dose("tuning", level, "x", "examples") for level in (10, 40, 160, 640)]
    kept = retention(doses, torch.ones(4, 5, dtype=torch.bool), torch.ones(5, dtype=torch.bool))
    axis = retention_curves(kept).layout.xaxis
    assert list(axis.ticktext) == ["0", "160", "640"]
    assert axis.range[0] <= 0 < 640 <= axis.range[1]


def test_the_forest_is_sorted_by_area_and_the_mean_stands_apart():
    kept = measured()
    figure = retention_forest(kept)
    names = [trace.name for trace in figure.data]
    areas = [trace.x[0] for trace in figure.data]
    assert names == ["case", "typos", "distractor", "mean of families"]
    assert areas[:3] == pytest.approx([80, 75, 100 * 178 / 240])
    assert areas[3] == pytest.approx(sum(areas[:3]) / 3)
    at = [trace.y[0] for trace in figure.data]
    assert at[3] - at[2] > at[2] - at[1] == at[1] - at[0]
    total = figure.data[3]
    assert (total.marker.color, total.marker.symbol) == (VERMILION, "diamond")
    assert total.error_x.array[0] == pytest.approx(100 * (kept.area.high - kept.area.value))
    assert list(figure.layout.yaxis.ticktext) == names
    assert "unperturbed: 100% [72, 100]" in figure.layout.title.subtitle.text
    assert "\nmean of families,0.7" in to_csv(figure)


def test_numbers_behind_the_curves_name_every_dose():
    lines = to_csv(retention_curves(measured())).splitlines()
    assert len(lines) == 1 + 6
    assert lines[1].startswith("typos,2,edits,two edits,0.4,0.168")
    assert lines[3].startswith("case,1,,upper,1.0,")


def test_hostile_names_are_text_and_unusable_input_is_told(evil):
    doses = [Dose(evil, 1, evil, evil), Dose("place", 1, evil)]
    kept = retention(doses, torch.ones(2, 5, dtype=torch.bool), torch.ones(5, dtype=torch.bool))
    for figure in (retention_curves(kept), retention_forest(kept)):
        notes = [n[key] for n in figure.layout.annotations for key in ("text", "hovertext")]
        texts = [text for t in figure.data for text in (t.name, *(t.text or ())) if text]
        shown = "".join(text or "" for text in notes + texts)
        assert "&lt;script&gt;" in shown
        assert "<script" not in shown + str(figure.layout.yaxis.ticktext)
    with pytest.raises(UserError, match="got no dose"):
        retention_curves(Retention(wilson(4, 4), (), {}, wilson(4, 4), ()))
    one = measured()
    part = Retention(one.baseline, one.kept, {"distractor": one.area}, one.area, ())
    with pytest.raises(UserError, match="got none for typos, case"):
        retention_curves(part)


def test_a_forest_holds_its_line_and_its_notes_inside_the_axis():
    row = ForestRow("a", Estimate(0.8, 0.7, 0.9, 5), "h", note="99%")
    figure = forest([row], "t", "s", "x", line=0.5, line_name="chance")
    low, high = figure.layout.xaxis.range
    assert low < 0.5 < 0.9 < high
    assert [shape.x0 for shape in figure.layout.shapes] == [0.5]
    assert {note.text for note in figure.layout.annotations} == {"99%", "chance"}
    bare = forest([ForestRow("a", Estimate(0.8, 0.7, 0.9, 5), "h")], "t", "s", "x")
    assert bare.layout.xaxis.range[0] > 0.5
    assert bare.layout.xaxis.range[1] < high
    assert not bare.layout.shapes
    for rows in ([], [row, row]):
        with pytest.raises(UserError, match="rows of different names"):
            forest(rows, "t", "s", "x")
