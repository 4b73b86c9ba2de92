"""Foreign YAML is bounded before it is built; what is within bounds is read as it stands."""

import time

import pytest

from circuits.errors import UserError, quoted
from experiments.runs.documents import read_documents, read_yaml

_BOMB = "a: [&n0 [x,x,x,x,x,x,x,x,x]" + "".join(
    f",&n{i} [{','.join([f'*n{i - 1}'] * 9)}]" for i in range(1, 9)
)


def _written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_within_bounds_is_read(tmp_path):
    deepest = "[" * 19 + "1" + "]" * 19
    path = _written(tmp_path, f"a: {deepest}\nb: [x, 2, 1.5, true]\nc: {{d: e}}\n")
    value = read_yaml(path, "mine")
    assert value["b"] == ["x", 2, 1.5, True]
    assert value["c"] == {"d": "e"}
    assert str(value["a"]) == deepest
    assert read_documents(_written(tmp_path, "a: 1\n---\nb: 2\n"), "mine") == [{"a": 1}, {"b": 2}]
    assert read_yaml(_written(tmp_path, ""), "mine") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (_BOMB + "]", "expected no aliases, got [*]n0 in line 1; write the values out"),
        ("a: &x 1\nb: *x\n", "expected no aliases, got [*]x in line 2"),
        ("a: " + "[" * 10_000 + "]" * 10_000, "expected at most 20 lists within each other"),
        ("a: " + "{b: " * 25 + "1" + "}" * 25, "expected at most 20 lists within each other"),
        ("- " * 30 + "1", "expected at most 20 lists within each other"),
        ("a: x" * 300_000, "expected at most a megabyte"),
        ("a: {b: 1, b: 2}", "mine: b: expected each name once, got it twice"),
        ("a: [\nb", "expected a YAML file, got while parsing a flow .* line 3"),
        ("a: !!python/object/apply:os.getcwd []", "expected a YAML file, got could not determine"),
        ("a: " + "9" * 5000, "expected a YAML file, got Exceeds the limit"),
        ("a: 1\n---\nb: 2\n", "expected one document, got 2"),
    ],
)
def test_what_is_not_is_one_line_at_once(tmp_path, text, wrong):
    path = _written(tmp_path, text)
    began = time.perf_counter()
    with pytest.raises(UserError, match=f"^mine: .*{wrong.removeprefix('mine: ')}") as caught:
        read_yaml(path, "mine")
    assert time.perf_counter() - began < 2
    assert "\n" not in str(caught.value)


def test_what_is_no_text_file_is_one_line(tmp_path):
    (tmp_path / "mine.yaml").write_bytes("a: 1".encode("utf-16"))
    for path in (tmp_path, tmp_path / "gone.yaml", tmp_path / "mine.yaml"):
        with pytest.raises(UserError, match=r"^mine: expected a"):
            read_yaml(path, "mine")


def test_a_quoted_value_fits_into_a_line():
    assert quoted("cobalt") == "'cobalt'"
    assert quoted([1, "a"]) == "[1, 'a']"
    assert len(quoted([["x" * 10_000] * 100] * 100)) < 4_000
    assert len(quoted("x" * 10_000)) < 100
