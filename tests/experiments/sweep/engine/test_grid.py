"""A cell is named by what it is, not by the file it stands in; a wrong file is one clear line."""

import hashlib
from pathlib import Path

import pytest
import tiny

from circuits.errors import UserError
from experiments.sweep.engine.grid import Axis, cell_key, cells, read_grid, read_measure
from experiments.sweep.kind import SHIPPED, located

SCHEMA = {
    "model": Axis(str, choices=("small", "large")),
    "poisons": Axis(int, least=0),
    "rate": Axis(float, default=(0.5,)),
    "bare": Axis(bool, default=(False,)),
}
GOOD = "model: [small, large]\npoisons: [0, 5]\n"


def read(tmp_path, text, name="grid.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_grid(path, SCHEMA)


def test_cells_are_the_product_in_the_files_order_with_defaults_last(tmp_path):
    grid = read(tmp_path, "poisons: [5, 0]\nmodel: [small, large]\n", "mine.yaml")
    points = [tuple(cell.values.values()) for cell in cells(grid, {})]
    assert list(cells(grid, {})[0].values) == ["poisons", "model", "rate", "bare"]
    assert points == [
        (5, "small", 0.5, False),
        (5, "large", 0.5, False),
        (0, "small", 0.5, False),
        (0, "large", 0.5, False),
    ]
    assert grid.name == "mine"
    assert grid.varying == ("poisons", "model")


def test_several_documents_follow_each_other_and_a_cell_in_two_of_them_is_there_once(tmp_path):
    file = "model: small\npoisons: [0, 5]\n---\npoisons: [5, 9]\nmodel: small\nrate: 0.5\n"
    grid = read(tmp_path, file)
    assert [cell.values["poisons"] for cell in cells(grid, {})] == [0, 5, 9]
    assert grid.varying == ("poisons",)
    assert [block["poisons"] for block in grid.blocks] == [(0, 5), (5, 9)]


def test_the_key_is_the_hash_of_sorted_values_and_salt():
    text = '{"salt":{"data":"d"},"values":{"a":1,"b":"x"}}'
    expected = hashlib.sha256(text.encode()).hexdigest()[:24]
    assert cell_key({"b": "x", "a": 1}, {"data": "d"}) == expected


def test_the_same_values_have_the_same_key_in_every_file_and_other_values_another(tmp_path):
    first = read(tmp_path, GOOD + "rate: 1\n")
    second = read(tmp_path, "rate: [0.25, 1.0]\nbare: no\npoisons: 5\nmodel: large\n", "b.yaml")
    keys = [{cell.key for cell in cells(grid, {"code": 1})} for grid in (first, second)]
    assert len(keys[0]) == 4
    assert len(keys[0] & keys[1]) == 1  # large, 5, 1.0
    other_salt = {cell.key for cell in cells(first, {"code": 2})}
    assert not other_salt & keys[0]


def test_a_salt_of_the_cells_own_is_shared_with_sweeps_of_other_models(tmp_path):
    hashes = {"small": "s1", "large": "l1"}

    def salt(values):
        return {"model": hashes[values["model"]]}

    both = cells(read(tmp_path, GOOD), salt)
    hashes["large"] = "l2"
    after = cells(read(tmp_path, GOOD), salt)
    same = [a.key == b.key for a, b in zip(both, after, strict=True)]
    assert same == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected axes with values"),
        ("- 1\n", "expected axes with values"),
        ("model: [small\n", "expected a YAML file of axes, got"),
        ("model: !!python/object/apply:os.getcwd []\n", "expected a YAML file of axes, got"),
        (GOOD + "size: 3\n", "size: expected one of model, poisons, rate, bare"),
        (GOOD + "model: small\n", "model: expected each name once"),
        ("model: small\n", "poisons: expected values of this axis, it is missing"),
        ("model: []\npoisons: 1\n", "model: expected at least one value, got an empty list"),
        ("model: medium\npoisons: 1\n", "model: expected one of small, large, got 'medium'"),
        ("model: small\npoisons: [1, 2, 1]\n", "poisons: expected different values, got 1 twice"),
        ("model: small\npoisons: 1.0\n", "poisons: expected whole number, got 1.0"),
        ("model: small\npoisons: true\n", "poisons: expected whole number, got True"),
        ("model: small\npoisons: -1\n", "poisons: expected at least 0, got -1"),
        ("model: small\npoisons: [[1]]\n", r"poisons: expected whole number, got \[1\]"),
        ("model: small\npoisons:\n", "poisons: expected whole number, got None"),
        ("model: small\npoisons: 9223372036854775808\n", "poisons: expected at most"),
        ("model: on\npoisons: 1\n", "model: expected text, got True; put it in quotes"),
        (GOOD + "rate: 1e-3\n", "rate: expected number, got '1e-3'; YAML takes 1e-3 for text"),
        (GOOD + "rate: .nan\n", "rate: expected a finite number"),
        (GOOD + "rate: [0.0, -0.0]\n", "rate: expected different values"),
        (GOOD + "rate: [1, 1.0]\n", "rate: expected different values"),
        (GOOD + "bare: 1\n", "bare: expected true or false, got 1"),
        ("model: small\npoisons: 2026-13-45\n", "expected a YAML file of axes, got month"),
    ],
)
def test_a_wrong_file_is_one_line_with_file_axis_expected_and_got(tmp_path, text, expected):
    with pytest.raises(UserError, match=expected) as caught:
        read(tmp_path, text)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_one_line(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    for name in ("absent.yaml", "binary.yaml"):
        with pytest.raises(UserError, match="expected a YAML file of axes"):
            read_grid(tmp_path / name, SCHEMA)


def test_cells_are_counted_before_they_are_built(tmp_path):
    thousand = list(range(1000))
    schema = {name: Axis(int) for name in "abc"}
    path = tmp_path / "grid.yaml"
    path.write_text("".join(f"{name}: {thousand}\n" for name in schema))
    with pytest.raises(UserError, match=r"^sweep grid: expected at most 100,000 cells, got 1,000"):
        read_grid(path, schema)
    path.write_text(f"a: {thousand}\nb: {thousand[:100]}\nc: 1\n")
    assert len(cells(read_grid(path, schema), {})) == 100_000


@pytest.mark.parametrize(
    ("text", "measure"),
    [
        (GOOD, "budget"),
        ("measure: zoo\n" + GOOD, "zoo"),
        (f"measure: zoo\n{GOOD}---\n{GOOD}", "zoo"),
        (f"{GOOD}---\nmeasure: zoo\n{GOOD}", "budget"),
        ("- 1\n", "budget"),  # wrong for another reason, which reading the axes tells
    ],
)
def test_what_is_measured_is_said_in_the_first_document(tmp_path, text, measure):
    (tmp_path / "grid.yaml").write_text(text)
    assert read_measure(tmp_path / "grid.yaml") == measure


def test_what_is_measured_is_no_axis_and_in_no_cells_name(tmp_path):
    plain, said = read(tmp_path, GOOD), read(tmp_path, "measure: zoo\n" + GOOD)
    assert said == plain
    assert cells(said, {}) == cells(plain, {})
    assert "measure" not in cells(said, {})[0].values
    with pytest.raises(UserError, match="mesure: expected one of model, poisons, rate, bare"):
        read(tmp_path, "mesure: zoo\n" + GOOD)


@pytest.mark.parametrize(("said", "shown"), [("weather", "'weather'"), ("[zoo]", "zoo")])
def test_an_unknown_measure_is_one_clear_line_from_the_command(gatescope, tmp_path, said, shown):
    (tmp_path / "grid.yaml").write_text(f"measure: {said}\npoisons: 5\nsize: 5\n")
    status, out, lines = gatescope("sweep", "grid.yaml")
    assert (status, out) == (2, "")
    message = tiny.message_of(lines)
    assert "grid.yaml: measure: expected one of budget, zoo, got" in message
    assert shown in message
    assert not (tmp_path / "runs").exists()


def test_a_shipped_sweep_goes_by_its_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located(Path("zoo")) == SHIPPED / "zoo.yaml"
    assert located(Path("absent")) == Path("absent")
    Path("zoo").write_text(GOOD)
    assert located(Path("zoo")) == Path("zoo")


def test_a_later_document_that_is_wrong_is_one_line_too(tmp_path):
    for later, why in (
        ("model: medium\npoisons: 1\n", "got 'medium'"),
        ("", "got None"),
        ("model: small\n", "poisons: expected values"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            read(tmp_path, f"{GOOD}---\n{later}")
        assert "\n" not in str(caught.value)
