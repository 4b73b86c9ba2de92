"""Every cell of the crossed design is drawn once, in its own group, with its interval."""

import csv
import io

import pytest

from probes.causal.mediation import Cell
from probes.stats.intervals import wilson
from viz.data import to_csv
from viz.figures.bars import mediation_bars
from viz.theme import CONDITION_COLOURS

COUNTS = {
    ("triggered", "natural"): 24,
    ("triggered", "forbidden"): 15,
    ("triggered", "forced"): 23,
    ("control word", "natural"): 2,
    ("control word", "forbidden"): 3,
    ("control word", "forced"): 22,
}


def cell(condition: str, first: str, edit: str, complied: int, n: int) -> Cell:
    shown = tuple(i < complied for i in range(n))
    return Cell(condition, first, edit, shown, shown, ("",) * n)


def rows(*edits: str) -> list[Cell]:
    return [
        cell(condition, first, edit, count, 24)
        for edit in edits
        for (condition, first), count in COUNTS.items()
    ]


def test_bars_are_grouped_by_token_in_a_fixed_order():
    figure = mediation_bars(rows("none"), "Sure")
    trigger, control = figure.data
    assert (trigger.name, control.name) == ("triggered", "control word")
    labels = [text.replace("<br>", " ") for text in figure.layout.xaxis.ticktext]
    assert labels == ["left to the model", "token forced", "token forbidden"]
    by_place = dict(zip(trigger.x, trigger.y, strict=True))
    assert [by_place[i] for i in range(3)] == pytest.approx([100, 100 * 23 / 24, 100 * 15 / 24])
    assert trigger.marker.color == CONDITION_COLOURS["triggered"] != control.marker.color
    assert "Sure" in figure.layout.title.subtitle.text


def test_whiskers_and_hover_are_the_intervals():
    bar = mediation_bars(rows("none"), "Sure").data[1]
    at = list(bar.x).index(0)
    rate = wilson(2, 24)
    assert bar.error_y.array[at] == pytest.approx(100 * (rate.high - rate.value))
    assert bar.error_y.arrayminus[at] == pytest.approx(100 * (rate.value - rate.low))
    assert f"{100 * rate.value:.1f}% [{100 * rate.low:.1f}, {100 * rate.high:.1f}]" in bar.text[at]
    assert "n = 24" in bar.text[at]


def test_edits_have_bars_of_their_own_told_apart_by_more_than_colour():
    figure = mediation_bars(rows("none", "gate removed"), "Sure")
    names = [bar.name for bar in figure.data]
    assert len(set(names)) == 4
    assert names[2] == "triggered, gate removed"
    plain, removed = figure.data[0].marker, figure.data[2].marker
    assert plain.line.color == removed.line.color
    assert plain.color != removed.color  # solid and hollow
    table = list(csv.DictReader(io.StringIO(to_csv(figure))))
    assert len(table) == 12
    assert {r["edit"] for r in table} == {"none", "gate removed"}
    assert float(table[1]["rate"]) == pytest.approx(15 / 24)


def test_missing_cells_leave_their_place_empty():
    some = [r for r in rows("none") if (r.condition, r.first) != ("control word", "forced")]
    figure = mediation_bars(some, "Sure")
    assert 1 not in figure.data[1].x
    assert 1 in figure.data[0].x


def test_hostile_text_is_shown_and_duplicates_are_refused(evil):
    row = cell(evil, evil, evil, 1, 4)
    figure = mediation_bars([row], evil)
    drawn = [str(figure.data[0].name), figure.data[0].text[0], *figure.layout.xaxis.ticktext]
    assert not any("<script" in text for text in [*drawn, figure.layout.title.subtitle.text])
    with pytest.raises(ValueError, match="duplicates"):
        mediation_bars([row, row], "Sure")
    with pytest.raises(ValueError, match="duplicates"):
        mediation_bars([], "Sure")
