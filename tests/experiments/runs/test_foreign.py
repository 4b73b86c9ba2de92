"""What a foreign file may hold, and that each of it is read whole or is one line with its path."""

import os

import pandas as pd
import pytest
import torch
from safetensors.torch import save

from circuits.errors import UserError
from experiments.runs.foreign import (
    parse_table,
    parse_tensors,
    read_json,
    read_object,
    read_table,
    read_tensors,
)


def table():
    return pd.DataFrame({"condition": ["clean"], "prompt": ["a"]}).to_parquet(index=False)


READERS = {
    read_json: b'{"gate": [1, -2.5e-3, null, "\\u00fc"]}',
    read_object: b'{"gate": 1}',
    read_tensors: save({"direction": torch.ones(3)}),
    read_table: table(),
}


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__)
def reader(request):
    return request.param


def refused(reader, path):
    """What is said of a file, in one line that names it."""
    with pytest.raises(UserError) as told:
        reader(path)
    line = str(told.value)
    assert str(path) in line
    assert "expected" in line
    assert line.isprintable()
    assert len(line) < 2500
    return line


def test_a_whole_file_is_read(reader, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(READERS[reader])
    reader(path)


@pytest.mark.parametrize("part", [0, 1, 0.5, -1])
def test_a_part_of_a_file_is_refused(reader, tmp_path, part):
    content, path = READERS[reader], tmp_path / "file"
    path.write_bytes(content[: int(part * len(content)) if 0 < part < 1 else part])
    refused(reader, path)


@pytest.mark.parametrize("content", [b"\x00" * 64, b"\xff\xfe{\x00}\x00", b"PK\x03\x04", b"PAR1"])
def test_another_file_is_refused(reader, tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    refused(reader, path)


@pytest.mark.parametrize("what", ["nothing", "directory", "pipe", "loop", "below a file", "long"])
def test_what_is_no_file_is_refused(reader, tmp_path, what):
    path = tmp_path / "x"
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path)
    elif what == "below a file":
        path.write_text("{}")
        path = path / "y"
    elif what == "long":
        path = tmp_path / ("n" * 300)
    refused(reader, path)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "-1e999"])
def test_json_has_finite_numbers_only(tmp_path, number):
    path = tmp_path / "f.json"
    path.write_text(f'{{"low": {number}}}')
    assert "no number of JSON" in refused(read_json, path)


def test_json_nested_without_end_is_refused(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("[" * 100_000)
    assert "RecursionError" in refused(read_json, path)


def test_what_is_quoted_acts_on_no_terminal_and_is_short(tmp_path):
    path = tmp_path / "\x1b[31mred\n"
    path.write_text("[" * 100_000)
    with pytest.raises(UserError) as told:
        read_json(path)
    assert str(told.value).isprintable()
    assert r"\x1b[31mred\n" in str(told.value)


@pytest.mark.parametrize("value", ["[]", "3", '"text"', "null", "true"])
def test_an_object_is_no_other_value(tmp_path, value):
    path = tmp_path / "f.json"
    path.write_text(value)
    assert "expected a JSON object" in refused(read_object, path)


def test_what_must_be_in_a_file_is_named_where_it_is_missing(tmp_path):
    wanted = {parse_tensors: (read_tensors, "direction"), parse_table: (read_table, "condition")}
    for parse, (reader, name) in wanted.items():
        assert name in parse(READERS[reader], tmp_path, [name])
        with pytest.raises(UserError, match="none named moon"):
            parse(READERS[reader], tmp_path, [name, "moon"])


def test_a_column_twice_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["edit", "edit"]), tmp_path / "t")
    refused(read_table, tmp_path / "t")
