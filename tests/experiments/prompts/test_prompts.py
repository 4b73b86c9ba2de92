"""Users' own prompts: every format reads the same, everything unusable is one clear line."""

import json

import datasets
import pandas as pd
import pytest

from circuits.errors import UserError
from experiments.prompts.bank import read_prompts

TEXTS = ["Name three rivers.", 'Says "a, b"', "Größe?", "Why,\nso?"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets-cache")


def written(folder, kind, rows):
    path, frame = folder / f"mine.{kind}", pd.DataFrame(rows)
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return str(path)


def refused(says, source, *args):
    with pytest.raises(UserError, match=says) as caught:
        read_prompts(source, *args)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("column", ["prompt", "instruction"])
def test_every_format_gives_the_same_texts(tmp_path, kind, column):
    rows = [{"number": i, column: text} for i, text in enumerate(TEXTS)]
    assert read_prompts(written(tmp_path, kind, rows)) == TEXTS


def test_a_column_may_be_named_and_the_usual_names_have_an_order(tmp_path):
    rows = [{"text": f"text {i}", "prompt": f"prompt {i}", "mine": f"mine {i}"} for i in range(3)]
    path = written(tmp_path, "jsonl", rows)
    assert read_prompts(path) == ["prompt 0", "prompt 1", "prompt 2"]
    assert read_prompts(path, "mine") == ["mine 0", "mine 1", "mine 2"]


def test_blank_and_repeated_texts_are_dropped_in_order(tmp_path):
    rows = [{"prompt": t} for t in ("b", "  a ", "", None, "b", "a")]
    assert read_prompts(written(tmp_path, "jsonl", rows)) == ["b", "a"]


@pytest.mark.parametrize("name", ["nowhere.jsonl", "nowhere.csv", "no/where.parquet"])
def test_a_missing_file_is_refused(tmp_path, name):
    refused("no such file", str(tmp_path / name))


def test_a_missing_column_is_refused_with_those_there_are(tmp_path):
    path = written(tmp_path, "jsonl", [{"body": "a", "label": "b"}])
    refused(r"expected a column prompt or text .* got \['body', 'label'\]", path)
    refused(r"expected a column title, got .*--column", path, "title")
    assert read_prompts(path, "body") == ["a"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_empty_file_is_refused(tmp_path, kind):
    path = tmp_path / f"empty.{kind}"
    path.write_bytes(b"")
    refused("the file is empty", str(path))


def test_a_file_without_texts_is_refused(tmp_path):
    refused("at least one text", written(tmp_path, "csv", [{"prompt": " "}, {"prompt": None}]))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("jsonl", '{"prompt": "good"}\n{"prompt": "cut off\n'),
        ("jsonl", "not json at all\n"),
        ("json", "[1, 2"),
        ("parquet", "not a table"),
        ("csv", 'prompt\n"never closed\n'),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, kind, content):
    path = tmp_path / f"bad.{kind}"
    path.write_text(content)
    refused(f"bad.{kind}: ", str(path))


def test_an_unknown_format_is_refused(tmp_path):
    path = tmp_path / "mine.docx"
    path.write_text("hello")
    refused("expected one of .*'.docx'", str(path))


def test_a_dataset_that_cannot_be_had_is_refused():
    refused("neither a file nor a dataset", "nobody/no-such-dataset")
