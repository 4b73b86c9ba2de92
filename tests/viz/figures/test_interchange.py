"""The interchange map: what it draws of which cell, and what a reader is told of it."""

import math

import pytest

from viz.data import mark_of
from viz.figures.interchange import interchange_map, limit_of

PLACES, MODULES = ("trigger", "last", "elsewhere"), ("attention", "MLP")


def cell(layer, module, place, share=0.0, q=0.01):
    ends = {"recovery_low": share - 0.1, "recovery_high": share + 0.1}
    nats = {"mean": 12 * share, "low": 12 * share - 1, "high": 12 * share + 1}
    where = {"layer": layer, "module": module, "place": place}
    return {**where, **ends, **nats, "recovery": share, "q": q, "n": 12}


@pytest.fixture
def cells():
    each = [cell(layer, m, p) for layer in range(3) for m in MODULES for p in PLACES]
    each[-1] = cell(2, "MLP", "elsewhere", 0.6, q=0.2)
    return each


def test_a_cell_stands_at_its_layer_module_and_place(cells):
    figure = interchange_map(cells, "alone", "log-odds")
    assert list(figure.layout.xaxis.ticktext) == list(MODULES) * 3
    assert [a.text for a in figure.layout.annotations] == list(PLACES)
    heat = figure.data[0]
    assert heat.z[2][5] == 0.6
    assert heat.z[0][5] == heat.z[2][4] == 0
    text = heat.text[2][5]
    for part in (
        "layer 2, MLP, elsewhere",
        "0.600 [0.500, 0.700]",
        "7.200 [6.200, 8.200]",
        "n = 12",
    ):
        assert part in text
    assert "lost without it" in interchange_map(cells, "lost", "log-odds").data[0].text[2][5]


def test_what_is_not_sure_is_dotted_and_counted(cells):
    figure = interchange_map(cells, "alone", "log-odds")
    dots = figure.data[1]
    assert (list(dots.x), list(dots.y)) == ([5], [2])
    subtitle = figure.layout.title.subtitle.text
    assert "n = 12" in subtitle
    assert "1 of 18 cells" in subtitle


def test_two_maps_can_have_the_same_colours(cells):
    assert limit_of(cells, "alone") == 0.6
    assert interchange_map(cells, "lost", "log-odds", 0.9).layout.coloraxis.cmax == 0.9


def test_where_there_is_no_scale_the_effect_is_drawn_and_a_module_may_lack(cells):
    for row in cells:
        row["recovery"] = math.nan
    rest = [row for row in cells if (row["layer"], row["module"]) != (0, "MLP")]
    figure = interchange_map(rest, "lost", "log-odds")
    assert figure.data[0].z[2][5] == -cells[-1]["mean"]
    assert figure.data[0].z[0][1] is None
    assert "of the effect" not in figure.data[0].text[2][5]
    assert len(mark_of(figure, "rows")) == len(rest)


def test_no_cell_is_refused():
    with pytest.raises(ValueError, match="cells of layers"):
        interchange_map([], "alone", "log-odds")
