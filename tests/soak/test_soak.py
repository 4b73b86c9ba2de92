"""The soak: what does not hold is counted and shown, and what has ended is not run again."""

import json
import sys

import pytest

from tests.soak import __main__ as soak


@pytest.fixture
def part(tmp_path, monkeypatch):
    """A part of three rows, of which two do not hold, and where it leaves its result."""
    (tmp_path / "toy_part.py").write_text(
        "def rows(share, seed, step):\n"
        "    step('toys', 3, 3)\n"
        "    more = {'case': 'b', 'outcome': 'unclear', 'said': 'x\\ny'}\n"
        "    return [{'case': 'a', 'holds': True}, more, {'case': str(seed), 'passed': False}]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(soak, "PARTS", {"toys": "toy_part"})
    yield tmp_path / "toys.json"
    sys.modules.pop("toy_part", None)


def test_rows_that_do_not_hold_are_counted_and_shown(part, capsys):
    soak.run_part("toys", 0.5, 7, part)
    assert "3 3" in capsys.readouterr().out
    every = [soak.ended("toys", part)]
    assert [soak.holds(row) for row in every[0].rows] == [True, False, False]
    text = soak.page(every, 0.5, 60.0)
    assert "| toys | 3 | 1 | 2 | 0 |" in text
    assert "- case: b; outcome: unclear; said: x y" in text
    assert "- case: 7; passed: False" in text


def test_a_part_that_broke_says_with_what(tmp_path):
    (tmp_path / "toys.log").write_text("1 3\nTraceback\nKeyError: 'x'\n")
    ended = soak.ended("toys", tmp_path / "toys.json")
    assert "KeyError: 'x'" in ended.broke
    assert "| toys | 0 | 0 | broke | 0 |" in soak.page([ended], 1, 1.0)


def test_what_has_ended_is_read_and_not_run_again(part, monkeypatch, tmp_path):
    monkeypatch.setattr(soak, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(soak, "commit", lambda: "abc")
    monkeypatch.setattr(soak, "Running", None)  # nothing may be started
    kept = tmp_path / "kept" / "abc-1-0"
    kept.mkdir(parents=True)
    (kept / "toys.json").write_text(json.dumps({"seconds": 3, "rows": [{"holds": True}]}))
    (ended,) = soak.run_all(["toys"], 1.0, 0, fresh=False)
    assert (ended.seconds, ended.red, ended.broke) == (3, [], "")
