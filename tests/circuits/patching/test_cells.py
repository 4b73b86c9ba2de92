"""Places, cells and sweeps say what they cover, and refuse what does not exist."""

import pytest

from circuits.errors import UserError
from circuits.patching.cells import Place, Sweep, cell, label, parse
from circuits.types import Point


def test_a_sweep_lists_its_cells_with_the_last_axis_fastest():
    sweep = Sweep("z", head=True)
    grid = sweep.grid(2, 3, range(7, 11))
    cells = grid.cells
    assert grid.axes == sweep.axes == ("layer", "head", "position")
    assert grid.shape == (2, 3, 4)
    assert grid.labels == ("7", "8", "9", "10")
    assert len(cells) == len(set(cells)) == 24
    assert cells[0] == (Place(0, "z", 7, heads=(0,)),)
    assert cells[1] == (Place(0, "z", 8, heads=(0,)),)
    assert cells[-1] == (Place(1, "z", 10, heads=(2,)),)


def test_without_position_a_cell_covers_every_column_and_without_head_every_head():
    grid = Sweep("z", position=False).grid(2, 3, range(4))
    assert grid.cells == ((Place(0, "z"),), (Place(1, "z"),))


def test_a_cell_is_its_places():
    place = Place(3, "resid_pre", span="trigger")
    assert cell(place) == (place,)
    assert place.point == Point(3)


def test_labels_name_every_place():
    found = label(cell(Place(1, "z", heads=(0, 2)), Place(4, "mlp_out", column=7)))
    assert found == "z[1].0,2 + mlp_out[4] at column 7"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Sweep("resid_pre", head=True), "resid_pre has no heads"),
        (lambda: Place(0, "mlp_out", heads=(1,)), "mlp_out has no heads"),
        (lambda: Place(0, column=3, span="last"), "column or a span, got both"),
        (lambda: cell(), "at least one place"),
    ],
)
def test_what_does_not_exist_is_refused(make, why):
    with pytest.raises(UserError, match=why):
        make()


@pytest.mark.parametrize(
    "text",
    ["z[12].3,4 at trigger + mlp_out[3] at column 17", "resid_pre[0]", "neuron[1].7 at last"],
)
def test_reading_a_label_gives_the_cell_back(text):
    assert label(parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "z", "z[a]", "z[1].x", "z[1] at", "z[1] + ", "z[1] at column x"]
)
def test_a_site_that_cannot_be_read_is_refused(text):
    with pytest.raises(UserError, match="expected STREAM"):
        parse(text)
