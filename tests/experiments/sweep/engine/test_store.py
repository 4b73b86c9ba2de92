"""What is in a cell's file counts only if it is as it was written, and is this cell's."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from circuits.errors import UserError
from experiments.sweep.engine.grid import Grid, cells
from experiments.sweep.engine.store import Record, Store, read_record, table

GRID = Grid("g", ({"size": (1, 2, 3), "model": ("a",)},))
CELLS = cells(GRID, {"code": 1})


def record(cell, **row):
    row = row or {"loss": 0.1 * cell.values["size"]}
    return Record(cell.key, cell.values, cell.salt, "done", 1.5, row=row, host="here")


def failure(cell):
    error = {"type": "E", "message": "m", "traceback": "t"}
    return Record(cell.key, cell.values, cell.salt, "failed", 0.5, 2, error=error)


def test_a_record_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    for original in (record(CELLS[0], x=0.1 + 0.2, s="ü\ud800", n=None), failure(CELLS[1])):
        store.write(original)
        assert read_record(store.path(original.key)) == original
    stock = store.load(CELLS)
    assert stock.having("done") == (CELLS[0].key,)
    assert stock.having("failed") == (CELLS[1].key,)
    assert stock.damaged == ()


def edited(name, value):
    def edit(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    return edit


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_text(path.read_text()[:40]), "expected a JSON file"),
        (lambda path: path.write_bytes(b"\xff\x00"), "expected a JSON file"),
        (lambda path: path.write_text("[]"), "expected schema gatescope.sweep-cell/1, got None"),
        (edited("schema", "gatescope.sweep-cell/2"), "expected schema"),
        (edited("row", {"loss": 0.2}), "it was changed"),
        (edited("row", {"loss": float("nan")}), "NaN, which is no number of JSON"),
        (edited("salt", {"code": 2}), "it was changed"),
        (edited("note", "by hand"), "it was changed"),
    ],
)
def test_a_damaged_file_counts_as_absent_is_told_and_is_set_aside(tmp_path, damage, expected):
    store = Store(tmp_path)
    for cell in CELLS[:2]:
        store.write(record(cell))
    path = store.path(CELLS[0].key)
    damage(path)
    content = path.read_bytes()
    stock = store.load(CELLS)
    assert set(stock.records) == {CELLS[1].key}
    assert len(stock.damaged) == 1
    assert expected in stock.damaged[0]
    store.write(record(CELLS[0]))
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    assert set(store.load(CELLS).records) == {CELLS[0].key, CELLS[1].key}


def test_a_file_of_another_cell_under_this_ones_name_does_not_count(tmp_path):
    store = Store(tmp_path)
    store.write(record(CELLS[0]))
    store.path(CELLS[0].key).rename(store.path(CELLS[1].key))
    stock = store.load(CELLS)
    assert stock.records == {}
    assert "expected the hash of its values as its name" in stock.damaged[0]


def test_a_record_without_what_its_status_promises_does_not_count(tmp_path):
    store = Store(tmp_path)
    store.write(replace(failure(CELLS[0]), status="done"))
    store.write(replace(record(CELLS[1]), status="failed"))
    assert len(store.load(CELLS).damaged) == 2


def parquet(folder, frame):
    return Store(folder).write_table("g", frame).read_bytes()


def test_the_table_has_finished_cells_in_the_grids_order_and_no_times(tmp_path):
    found = {c.key: record(c) for c in (CELLS[2], CELLS[0])}
    found[CELLS[1].key] = failure(CELLS[1])
    frame = table(CELLS, found)
    assert list(frame.columns) == ["cell", "size", "model", "loss"]
    assert list(frame["cell"]) == [CELLS[0].key, CELLS[2].key]
    slower = {k: replace(r, seconds=9.0, attempt=3, host="there") for k, r in found.items()}
    assert parquet(tmp_path, table(CELLS, slower)) == parquet(tmp_path, frame)
    faster = {**found, CELLS[0].key: record(CELLS[0], loss=0.5)}
    assert parquet(tmp_path, table(CELLS, faster)) != parquet(tmp_path, frame)


def test_a_table_of_nothing_has_the_axes_as_columns(tmp_path):
    path = Store(tmp_path).write_table("g", table(CELLS, {}))
    assert list(pd.read_parquet(path).columns) == ["cell", "size", "model"]


def test_columns_of_several_kinds_are_one_line(tmp_path):
    found = {c.key: record(c, x=value) for c, value in zip(CELLS, (1, "one", None), strict=True)}
    with pytest.raises(UserError, match="table: expected values of one kind in a column") as caught:
        parquet(tmp_path, table(CELLS, found))
    assert "\n" not in str(caught.value)
