"""Floors and circles of the import graph, on houses small enough to see."""

import pytest

from experiments.bench.house import circles, drawing, floors, import_graph, room_of, rooms

HOUSE = {"roof": {"wall", "ground"}, "wall": {"ground"}, "ground": set()}


def test_a_room_stands_above_all_that_it_imports():
    assert floors(HOUSE) == {"ground": 1, "wall": 2, "roof": 3}


def test_rooms_in_a_circle_have_no_floor():
    with pytest.raises(ValueError, match="a circle among roof, wall"):
        floors({**HOUSE, "wall": {"ground", "roof"}})


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("circuits.gates.select", "circuits"),
        ("experiments.cli", "experiments.cli"),
        ("experiments.sweep.zoo.cell", "experiments.sweep"),
    ],
)
def test_a_module_is_of_its_room(module, room):
    assert room_of(module) == room


def test_this_house_has_floors_and_no_circle():
    graph = import_graph()
    floor_of = floors(rooms(graph))
    assert floor_of["circuits"] == 1
    assert floor_of["experiments.cli"] == max(floor_of.values())
    assert circles(graph) == []


def test_the_drawing_has_every_room_and_every_arrow():
    picture = drawing(HOUSE, floors(HOUSE), {"roof": 1, "wall": 20, "ground": 300})
    assert picture.count("<rect") == 1 + len(HOUSE)
    assert picture.count("<path") == sum(map(len, HOUSE.values()))
    assert "300 lines" in picture
