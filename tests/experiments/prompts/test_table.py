"""Files of every encoding, line end, packing and shape read the same, or say in a line why not."""

import gzip
import json
import os

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from circuits.errors import UserError
from experiments.prompts import table
from experiments.prompts.bank import read_prompts

TEXTS = ["Größe?", "a\u2028b", "Why,\nso?", "Hi"]
ROWS = [{"prompt": text} for text in TEXTS]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


def kept(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refused(says, source, *args):
    with pytest.raises(UserError, match=says) as caught:
        read_prompts(source, *args)
    assert "\n" not in str(caught.value)


CSV = 'prompt,n\n"Größe?",1\n"a\u2028b",2\n"Why,\nso?",3\nHi,4\n'


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        "\ufeff" + CSV,
        '\ufeff"prompt"' + CSV.removeprefix("prompt"),
        CSV.replace(",1\n", ",1\n\n\n"),
    ],
)
def test_csv_with_marks_and_blank_lines_is_read_right(tmp_path, content):
    assert read_prompts(kept(tmp_path, "a.csv", content)) == TEXTS


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_are_read_right(tmp_path, end):
    rows = CSV.replace("Why,\nso?", "Why, so?").replace("\n", end)
    told = ["Größe?", "a\u2028b", "Why, so?", "Hi"]
    assert read_prompts(kept(tmp_path, "a.csv", rows)) == told
    assert read_prompts(kept(tmp_path, "a.jsonl", LINES.replace("\n", end * 2))) == TEXTS


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(TEXTS),
        json.dumps(ROWS, indent=1),
        json.dumps({"version": 1, "rows": ROWS}),
        json.dumps({"prompt": TEXTS}),
        "\ufeff" + LINES,
        LINES + "\n  \n",
        "\n".join(json.dumps(text) for text in TEXTS),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_of_every_shape_is_read_right(tmp_path, name, content):
    assert read_prompts(kept(tmp_path, name, content)) == TEXTS


def test_a_single_row_is_a_row(tmp_path):
    assert read_prompts(kept(tmp_path, "a.jsonl", '{"prompt": "Hi", "tags": ["x"]}')) == ["Hi"]
    talk = {"messages": [{"role": "user", "content": "Hi"}]}
    assert read_prompts(kept(tmp_path, "b.json", json.dumps(talk))) == ["Hi"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_packed_files_are_read_whatever_they_are_called(tmp_path, name):
    whole = gzip.compress(LINES.encode())
    assert read_prompts(kept(tmp_path, name, whole)) == TEXTS
    refused("expected a whole gzip file", kept(tmp_path, "cut.jsonl", whole[:-12]))


def test_a_file_replaced_with_its_time_kept_is_read_anew(tmp_path):
    for words in (["aaaa", "bbbb"], ["cccc", "dddd", "eeee"]):
        path = kept(tmp_path, "a.jsonl", "".join(f'{{"prompt": "{w}"}}\n' for w in words))
        os.utime(path, (1e9, 1e9))
        assert read_prompts(path) == words


def test_too_much_is_refused_packed_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "MOST", 3_000_000)
    ask = '{"prompt": "%s"}\n'
    packed = gzip.compress((ask % "a" * 1000 + ask % ("b" * 3_000_000)).encode())
    refused("unpacked: expected at most 3 MB", kept(tmp_path, "bomb.jsonl", packed))
    refused("expected at most 3 MB", kept(tmp_path, "large.jsonl", ask % ("b" * 3_000_000)))
    file = tmp_path / "bomb.parquet"
    parquet.write_table(pa.table({"prompt": ["b" * 100_000] * 100}), file)
    assert file.stat().st_size < 1_000_000
    refused("expected at most 3 MB unpacked", str(file))
    assert read_prompts(kept(tmp_path, "good.jsonl", ask % ("b" * 1_000_000)))


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_utf16_is_named(tmp_path, code, name):
    refused("expected UTF-8, got what looks like UTF-16", kept(tmp_path, name, LINES.encode(code)))


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    refused("line 2: expected UTF-8, got byte 0xff", kept(tmp_path, "a.csv", b"prompt\na\xff\n"))
    refused("line 3: expected text, got a NUL byte", kept(tmp_path, "a.csv", "prompt\na\nb\0\n"))
    refused("row 1, column prompt: expected text, got 'a.x00'",
            kept(tmp_path, "a.jsonl", '{"prompt": "a\\u0000"}'))  # fmt: skip
    refused("row 1, column prompt: expected text, got '.ud800'",
            kept(tmp_path, "a.jsonl", '{"prompt": "\\ud800"}'))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", LINES + "{'prompt': 'b'}\n", "expected JSON in line 5, got \"{'prompt'"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt"\n', "expected JSON in line 2"),
        ("a.jsonl", '{"prompt": "a"}\n3\n', "line 2: expected an object .* got '3'"),
        ("a.jsonl", '"a"\n["b"]\n', "line 2: expected a text, as the others"),
        ("a.json", '[\n{"prompt": "a"},\n{"prompt"}]', "expected JSON in line 3"),
        ("a.json", '[["a"]]', "row 1: expected an object"),
        ("a.json", "3", "expected rows, got one value"),
        ("a.json", '{"x": [1], "y": [2, 3]}', "one list of rows, got several: x, y"),
        ("a.json", "[" * 100_000, "expected JSON"),
        ("a.json", "[]", "expected a column prompt or"),
        ("a.jsonl", " \n\n", "the file is blank"),
        ("a.csv", "prompt\nHi, you\n", "line 2: expected at most the header's 1 cells, got 2"),
        ("a.csv", "prompt,prompt\na,b\n", "header with a name for each column"),
        ("a.csv", 'prompt\n"never closed\n', "expected CSV, got unexpected end of data"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, name, content, says):
    refused(says, kept(tmp_path, name, content))


def test_a_text_that_is_none_anywhere_else_is_one_here(tmp_path):
    words = ["None", "NA", "nan", "null", "1", "true"]
    assert read_prompts(kept(tmp_path, "a.csv", "\n".join(["prompt", *words]))) == words


def test_what_cannot_be_seen_is_no_prompt_and_makes_none_different(tmp_path, capsys):
    invisible = ["\u200b", " \u200b\u200b", "\u3164", "\u2060", "\ufeff"]
    same = ["the same text", "the same text\u200b", "the\u00ad same text", "\u200ethe same text"]
    rows = [{"prompt": text} for text in (*same, *invisible, "", " ", None, "other")]
    assert read_prompts(kept(tmp_path, "a.jsonl", json.dumps(rows))) == ["the same text", "other"]
    says = "13 rows: 2 different texts, 3 repeats, 8 without text (2 blank, 1 null, 5 of characters"
    assert says in capsys.readouterr().err
    refused("expected at least one text in column text, got 5 rows",
            kept(tmp_path, "b.json", json.dumps(invisible)), "text")  # fmt: skip


def test_columns_of_parquet_that_are_no_texts_are_named(tmp_path):
    file = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"prompt": [["a", "b"]], "n": [1], "b": [b"x"]}), file)
    refused("row 1, column prompt: expected a list of messages", str(file))
    refused("row 1, column n: expected a text .*got int", str(file), "n")
    refused(r"expected a column title, got \['prompt', 'n', 'b'\]", str(file), "title")


def test_a_folder_of_save_to_disk_is_read(tmp_path):
    both = {
        name: datasets.Dataset.from_dict({"prompt": TEXTS[:n]}) for name, n in (("a", 2), ("b", 3))
    }
    datasets.disable_progress_bars()
    both["a"].save_to_disk(tmp_path / "one")
    datasets.DatasetDict(both).save_to_disk(tmp_path / "two")
    assert read_prompts(str(tmp_path / "one")) == TEXTS[:2]
    assert read_prompts(str(tmp_path / "two"), None, "b") == TEXTS[:3]
    refused("expected a --split of a, b, got train", str(tmp_path / "two"))
    (tmp_path / "one" / "data-00000-of-00001.arrow").write_bytes(b"cut")
    refused("expected a folder of save_to_disk, got ", str(tmp_path / "one"))


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    refused("expected a file, got something else", str(tmp_path / "a.jsonl"))
