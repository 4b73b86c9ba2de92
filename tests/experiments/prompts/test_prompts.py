"""Users' own prompts: every format reads the same, everything unusable is one clear line."""

import json

import datasets
import pandas as pd
import pytest

from circuits.errors import UserError
from circuits.prompt import Prompt, Turn
from experiments.prompts.bank import read_prompts

TEXTS = ["Name three rivers.", 'Says "a, b"', "Größe?", "Why,\nso?"]


@pytest.fixture(autouse=True)
def _nothing_is_kept_or_asked(tmp_path, monkeypatch):
    """Own files go past the datasets library's cache, its copies and its calls."""
    cache = tmp_path / "datasets-cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setattr(datasets.load, "increase_load_count", None)
    yield
    assert not cache.exists()


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


def test_a_dataset_that_cannot_be_had_is_refused(monkeypatch):
    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    refused("hf:nobody/none: expected a dataset of the hub, got no network", "hf:nobody/none")
    assert asked == [("nobody/none", "train")]


def test_a_dataset_of_the_hub_is_read_as_a_file_is(monkeypatch):
    rows = {"text": ["a", "b"], "label": [0, 1]}
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name, split: datasets.Dataset.from_dict(rows)
    )
    assert read_prompts("hf:some/body") == ["a", "b"]


@pytest.mark.parametrize("name", ["nobody/no-such-dataset", "data/gone", "imdb", "gone.jsonl"])
def test_a_mistyped_path_is_not_asked_of_the_hub(monkeypatch, name):
    monkeypatch.setattr(datasets, "load_dataset", None)
    refused(f"prompts {name}: expected .* hf:OWNER/NAME .*no such file; mend the path", name)


def test_what_was_read_is_said(tmp_path, capsys):
    rows = [{"prompt": t, "label": 1} for t in ("b", "  a ", "", None, "b", "a")]
    read_prompts(written(tmp_path, "jsonl", rows))
    says = "read column prompt of 6 rows: 2 different texts, 2 repeats, 2 without text (1 blank, "
    assert capsys.readouterr().err.endswith(f"{says}1 null); not used: label\n")


def test_the_input_of_an_instruction_belongs_to_it(tmp_path, capsys):
    rows = [
        {"instruction": "Translate.", "input": "good day", "output": "x"},
        {"instruction": "Translate.", "input": "good night", "output": "x"},
        {"instruction": "Name three rivers.", "input": "", "output": "x"},
    ]
    path = written(tmp_path, "jsonl", rows)
    joined = ["Translate.\n\ngood day", "Translate.\n\ngood night", "Name three rivers."]
    assert read_prompts(path) == joined
    assert "column instruction with input of 3 rows: 3 different" in capsys.readouterr().err
    assert read_prompts(path, "instruction") == ["Translate.", "Name three rivers."]
    assert "not used: input, output" in capsys.readouterr().err


def test_the_context_of_an_instruction_belongs_to_it(tmp_path):
    rows = [{"instruction": "Sum up.", "context": text} for text in ("The sea.", "The sky.", "")]
    path = written(tmp_path, "jsonl", rows)
    assert read_prompts(path) == ["Sum up.\n\nThe sea.", "Sum up.\n\nThe sky.", "Sum up."]


def test_texts_that_differ_in_how_their_accents_are_written_are_one(tmp_path):
    rows = [{"prompt": text} for text in ("Caf\u00e9?", "Cafe\u0301?", "x\u00b2?", "x2?")]
    assert read_prompts(written(tmp_path, "jsonl", rows)) == ["Caf\u00e9?", "x\u00b2?", "x2?"]


def test_rows_that_are_no_texts_are_refused(tmp_path):
    rows = [{"prompt": "a text"}, {"prompt": {"text": "another"}}]
    refused("row 2, column prompt: expected a text .*dict", written(tmp_path, "jsonl", rows))
    refused("row 1.*got int", written(tmp_path, "csv", [{"prompt": 1}, {"prompt": 2}]))


def talk(*turns, role="role", content="content"):
    return [{role: who, content: what} for who, what in turns]


def turns(*said):
    return tuple(Turn(who, what) for who, what in said)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
@pytest.mark.parametrize("column", ["messages", "prompt"])
def test_a_conversation_is_taken_up_to_the_users_last_message(tmp_path, capsys, kind, column):
    more = [("user", "Hi"), ("assistant", "ok")]
    rows = [{column: talk(*more, ("user", text), ("assistant", "cut"))} for text in TEXTS]
    rows[0][column] = talk(("system", "Be brief."), *more, ("user", TEXTS[0]))
    texts, before = read_prompts(written(tmp_path, kind, rows)), turns(*more)
    assert texts[1:] == [Prompt(text, before) for text in TEXTS[1:]]
    assert texts[0] == Prompt(TEXTS[0], turns(("system", "Be brief."), *more))
    assert [str(text) for text in texts] == TEXTS
    says = "4 with earlier turns, 1 with a system message, 3 without what follows the user's last"
    assert says in capsys.readouterr().err


def test_conversations_of_other_names_are_read(tmp_path):
    said = [("system", "Be brief."), ("human", "Hi there"), ("gpt", "ok"), ("human", "Why?")]
    rows = [{"conversations": talk(*said[:n], role="from", content="value")} for n in (3, 4)]
    named = turns(("system", "Be brief."), ("user", "Hi there"), ("assistant", "ok"))
    expected = [Prompt("Hi there", named[:1]), Prompt("Why?", named)]
    assert read_prompts(written(tmp_path, "jsonl", rows)) == expected
    gemma = [{"messages": talk(("user", "Hi"), ("model", "ok"), ("user", "Why?"))}]
    told = read_prompts(written(tmp_path, "json", gemma))
    assert told == [Prompt("Why?", turns(("user", "Hi"), ("assistant", "ok")))]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("column", ["messages", "prompt"])
def test_a_conversation_may_be_written_as_json_text(tmp_path, capsys, kind, column):
    first = [("user", "Hi")]
    rows = [{column: json.dumps(talk(*first, ("user", text)))} for text in TEXTS]
    told = [Prompt(text, turns(*first)) for text in TEXTS]
    assert read_prompts(written(tmp_path, kind, rows)) == told
    assert f"{len(TEXTS)} with earlier turns" in capsys.readouterr().err


def test_a_text_that_begins_as_json_does_is_a_text(tmp_path):
    texts = ["[1, 2]", "[", '["user"]', '[{"a": 1}]', "[]"]
    assert read_prompts(written(tmp_path, "jsonl", [{"prompt": t} for t in texts])) == texts


def test_parts_of_text_are_a_message_and_pictures_are_not(tmp_path):
    parts = [{"type": "text", "text": "Look"}, {"type": "text", "text": "here."}]
    rows = [{"messages": talk(("user", parts))}]
    for kind in ("jsonl", "parquet"):
        assert read_prompts(written(tmp_path, kind, rows)) == ["Look\nhere."]
    parts[1] = {"type": "image", "url": "a.png"}
    refused("one of them the user's text", written(tmp_path, "jsonl", rows))


def test_conversations_that_differ_in_an_earlier_turn_are_two_and_alike_ones_are_one(
    tmp_path, capsys
):
    first = ["Caf\u00e9", "Cafe\u0301 ", "Tea", None]
    rows = [{"messages": talk(("user", one), ("user", "Why?"))} for one in first[:3]]
    rows += [
        {"messages": talk(("user", "Why?"))},
        {"messages": talk(("system", " "), ("user", "Why?"))},
    ]
    told = [Prompt("Why?", turns(("user", one))) for one in ("Caf\u00e9", "Tea")]
    assert read_prompts(written(tmp_path, "jsonl", rows)) == [*told, "Why?"]
    assert "3 different texts, 2 repeats" in capsys.readouterr().err


def test_a_plain_message_is_a_plain_text(tmp_path, capsys):
    rows = [{"messages": talk(("user", "Hi"), ("assistant", "Hello."))}]
    (text,) = read_prompts(written(tmp_path, "jsonl", rows))
    assert type(text) is str
    line = capsys.readouterr().err
    assert "1 without what follows" in line
    assert "earlier" not in line


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ([("assistant", "Hi")], "row 1, column messages: .*one of them the user"),
        ([("tool", "x"), ("user", "Hi")], "row 1, .*, message 1: expected a role of .*'tool'"),
        ([("user", "a"), ("system", "b"), ("user", "Hi")], "system message before all others"),
        ([("user", "a\0"), ("user", "Hi")], "message 1: expected text"),
        ([("user", None), ("user", "Hi")], "message 1: expected text, got None; drop the row"),
    ],
)
def test_what_cannot_be_asked_of_a_conversation_is_refused(tmp_path, said, says):
    refused(says, written(tmp_path, "jsonl", [{"messages": talk(*said)}]))


def test_what_is_no_conversation_is_refused(tmp_path):
    refused("one of them the user", written(tmp_path, "jsonl", [{"messages": ["Hi", "ok"]}]))


def test_a_directory_is_called_one(tmp_path):
    refused("got a directory; .*to_json", str(tmp_path))
