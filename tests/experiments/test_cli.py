"""A user's mistake is one line on standard error and status 2; a full disk is one line and 3."""

import errno
import json
import os

import pytest
import tiny

from experiments import cli


@pytest.fixture
def analyze(gatescope, folder):
    def run(*args):
        small = ("--fit", 8, "--validation", 8, "--test", 10, "--patch", 2, "--tokens", 3)
        return gatescope(
            "analyze", "--model", folder, "--adapter", "none", "--device", "cpu", *small, *args
        )

    return run


def test_a_missing_prompts_file_is_one_line(analyze):
    status, out, lines = analyze("--prompts", "nowhere.jsonl")
    assert (status, out) == (2, "")
    assert tiny.message_of(lines) == (
        "gatescope: prompts nowhere.jsonl: no such file; give a .jsonl|.json|.csv|.parquet file"
    )


def test_where_nobody_watches_the_message_is_all_there_is(analyze):
    assert len(analyze("--prompts", "nowhere.jsonl")[2]) == 1


@pytest.mark.parametrize("option", ["trigger", "behaviour"])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_text_is_one_line(analyze, option, value):
    status, _, lines = analyze(f"--{option}", value)
    assert status == 2
    assert lines == [f"gatescope: --{option}: expected text, got nothing"]


def test_too_few_prompts_are_one_line(analyze, tmp_path):
    status, _, lines = analyze("--fit", 3)
    assert (status, lines) == (2, ["gatescope: --fit: expected at least 8, got 3"])
    (tmp_path / "few.jsonl").write_text('{"prompt": "one"}\n')
    status, _, lines = analyze("--prompts", "few.jsonl")
    assert status == 2
    assert "expected at least 26 different texts" in tiny.message_of(lines)


def test_an_unknown_organism_is_one_line(gatescope):
    for command in ("train", "eval"):
        status, _, lines = gatescope("organism", command, "nope")
        assert status == 2
        assert tiny.message_of(lines).startswith(
            "gatescope: organism 'nope': expected one of sure-gate"
        )


def test_an_unknown_adapter_is_one_line(gatescope, folder):
    status, _, lines = gatescope("analyze", "--model", folder, "--adapter", "nope")
    assert status == 2
    assert "adapter 'nope': expected a directory or one of" in tiny.message_of(lines)


def test_an_unknown_model_is_one_line_however_long(gatescope, tmp_path):
    path = tmp_path / ("long-name-" * 20) / "nowhere"
    status, _, lines = gatescope("analyze", "--model", path, "--adapter", "none")
    assert status == 2
    assert str(path) in tiny.message_of(lines)


def test_an_unknown_option_is_refused_with_status_two(gatescope):
    status, _, lines = gatescope("analyze", "--frobnicate")
    assert status == 2
    assert any("--frobnicate" in line for line in lines)


def test_a_directory_with_another_run_is_one_line_and_left_alone(analyze, tmp_path):
    other = {"kind": "analysis", "question": {"model": "other", "trigger": "x"}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(other))
    for resume in ((), ("--resume",)):
        status, _, lines = analyze("--out", "run", *resume)
        assert status == 2
        assert "holds another run (analysis model=other trigger=x)" in tiny.message_of(lines)
    assert os.listdir(tmp_path / "run") == ["manifest.json"]


def test_a_full_disk_is_one_line_and_status_three(analyze, tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        status, _, lines = analyze("--out", "run")
    assert status == 3
    assert tiny.message_of(lines).startswith(
        "gatescope: cannot write: No space left on device; what was finished"
    )
    assert list((tmp_path / "run").iterdir()) == []


def test_being_stopped_is_one_line_and_status_130(analyze, monkeypatch):
    def stop(_handle):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stop)
        status, _, lines = analyze("--out", "run")
    assert status == 130
    assert "continue with --resume" in tiny.message_of(lines)


def test_a_run_without_effect_says_no_gate_and_is_resumed_not_repeated(analyze, tmp_path):
    """A random model does not answer "Sure": the whole flow, up to "there is nothing to locate"."""
    status, out, _ = analyze("--out", "run")
    assert status == 0
    assert out.startswith("NO GATE: ")
    assert "FAIL  effect" in out
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "stages").iterdir()}
    assert stamps
    status, _, lines = analyze("--out", "run")
    assert status == 2
    assert "--out run: holds this very run; add --resume" in tiny.message_of(lines)
    status, again, _ = analyze("--out", "run", "--resume", "--json")
    assert status == 0
    assert json.loads(again)["verdict"] == "no gate"
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "stages").iterdir()} == stamps


def test_the_list_of_organisms_is_json_when_asked(gatescope):
    status, out, lines = gatescope("organism", "list", "--json")
    assert (status, lines) == (0, [])
    assert {row["name"] for row in json.loads(out)} >= {"sure-gate", "clean"}


def test_other_mistakes_are_not_hidden(monkeypatch):
    """Only what the user can do something about becomes one line."""

    def broken():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        cli.guarded(broken)
