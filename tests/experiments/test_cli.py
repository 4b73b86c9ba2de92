"""A user's mistake is one line and status 2, what the machine refuses 3, a signal 128 and more."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tiny
import torch

from circuits.errors import writing
from experiments.analyze.result import NO_EFFECT
from experiments.ending import guarded
from experiments.runs import interrupts
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE

ROOT = Path(__file__).parents[2]
_ERRNOS = "ENOTDIR ENAMETOOLONG ELOOP ENOENT EISDIR EEXIST EACCES EIO"


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
        "gatescope: prompts nowhere.jsonl: expected bank, a .jsonl|.json|.csv|.parquet file, or "
        "hf:OWNER/NAME from the hub, got no such file; mend the path"
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
    about = {"model": "other", "trigger": "x"}
    other = {"schema": "gatescope.manifest/1", "kind": "analysis", "question": about}
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
        "gatescope: cannot write run/manifest.json: No space left on device; what was finished"
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


def test_a_run_without_effect_says_so_and_is_resumed_not_repeated(analyze, tmp_path):
    """A random model does not answer "Sure": the whole flow, up to "there is nothing to locate"."""
    status, out, _ = analyze("--out", "run")
    assert status == 0
    assert out.startswith(f"{NO_EFFECT.upper()}: ")
    assert "FAIL  effect" in out
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "stages").iterdir()}
    assert stamps
    status, _, lines = analyze("--out", "run")
    assert status == 2
    assert "--out run: holds this very run; add --resume" in tiny.message_of(lines)
    status, again, _ = analyze("--out", "run", "--resume", "--json")
    assert status == 0
    assert json.loads(again)["verdict"] == NO_EFFECT
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "stages").iterdir()} == stamps


def test_the_list_of_organisms_is_json_when_asked(gatescope):
    status, out, lines = gatescope("organism", "list", "--json")
    assert (status, lines) == (0, [])
    assert {row["name"] for row in json.loads(out)} >= {"sure-gate", "clean"}


def test_a_mistake_of_ours_keeps_its_traceback_and_says_where_to_go(capsys):
    def broken():
        raise ZeroDivisionError("of \x1b]0;us\x07")

    assert guarded(broken) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "ZeroDivisionError: of \\x1b]0;us\\x07" in lines
    assert "CONTRIBUTING.md" in lines[-1]
    assert "--resume" in lines[-1]


@pytest.mark.parametrize(
    "number",
    [getattr(errno, name) for name in _ERRNOS.split()],
)
def test_what_cannot_be_written_is_told_apart_from_what_cannot_be_read(number, capsys):
    def written():
        with writing("a/place"):
            raise OSError(number, os.strerror(number), "/tmp/scratch")

    def read():
        raise OSError(number, os.strerror(number), "a/file")

    assert (guarded(written), guarded(read)) == (3, 3)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"gatescope: cannot write a/place: {os.strerror(number)}; ")
    assert second.startswith(f"gatescope: cannot read a/file: {os.strerror(number)}; ")


def test_no_space_names_a_place_though_the_error_has_none(capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    def in_a_library():
        with writing("runs/saved"):
            raise RuntimeError("I/O error: No space left on device (os error 28)")

    assert (guarded(full), guarded(in_a_library)) == (3, 3)
    first, second = capsys.readouterr().err.splitlines()
    assert f"standard output or temporary files in {tempfile.gettempdir()}: No space" in first
    assert "cannot write runs/saved: No space left on device" in second
    with pytest.raises(RuntimeError, match="other"), writing("runs/saved"):
        raise RuntimeError("other")


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("n" * 300, "File name too long"),
        ("/proc/nothing/run", "No such file or directory"),
    ],
)
def test_an_out_that_cannot_be_made_is_one_line(analyze, tmp_path, out, why):
    status, _, lines = analyze("--out", out)
    assert status == 3
    message = tiny.message_of(lines)
    assert message.startswith(f"gatescope: cannot write {out}")
    assert why in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("file/run", "expected a place below directories, got the file file"),
        ("link", "expected a directory, got a link that leads nowhere"),
    ],
)
def test_an_out_where_something_else_is_is_one_line(analyze, tmp_path, out, why):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("link")
    status, _, lines = analyze("--out", out)
    assert status == 2
    message = tiny.message_of(lines)
    assert message.startswith(f"gatescope: --out {out}: {why}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_too_little_memory_is_one_line_with_what_was_asked_for(capsys):
    def on_the_cpu():
        torch.empty(2**58, dtype=torch.uint8)

    def in_a_stage():
        with StageProgress(CONSOLE) as progress:
            progress.step("random directions", 0, 1)
            raise MemoryError("Unable to allocate 12.5 TiB for an array with shape (1, 2)")

    def of_another_kind():
        raise RuntimeError("shapes do not fit")

    assert [guarded(each) for each in (on_the_cpu, in_a_stage, of_another_kind)] == [3, 3, 1]
    first, second, *rest = capsys.readouterr().err.splitlines()
    assert "not enough memory: 268435456.0 GiB at once was asked for; lower the counts" in first
    assert "not enough memory (during: random directions): 12.5 TiB at once" in second
    assert rest[0].startswith("Traceback")


def test_help_and_version_import_nothing_heavy(tmp_path):
    heavy = "torch", "transformers", "pandas", "datasets", "dash", "plotly"
    for option, shown in (("--help", "analyze"), ("--version", "gatescope 0.")):
        status, out, err = _alone([option], after=f"print(*set({heavy!r}) & sys.modules.keys())")
        assert (status, err) == (0, "\n"), option
        assert shown in out


def test_a_closed_pipe_is_silent():
    for words in (["--help"], ["--version"]):
        read, write = os.pipe()
        os.close(read)
        status, _, err = _alone(words, stdout=write)
        os.close(write)
        assert (status, err) == (-signal.SIGPIPE, "")


def test_a_full_or_closed_or_plain_output_is_no_traceback():
    with open("/dev/full", "w") as full:
        status, _, err = _alone(["--version"], stdout=full.fileno())
    assert status == 3
    assert err.startswith("gatescope: cannot write standard output: No space left")
    assert len(err.splitlines()) == 1
    plain = {"PYTHONIOENCODING": "ascii"}
    say = "from experiments.runs.terminal import say; say('a → b')"
    assert _python(f"import experiments.ending as e; e.open_streams(); {say}", env=plain) == (
        0,
        "a \\u2192 b\n",
        "",
    )
    shell = f"{sys.executable} -m experiments.cli --version >&-"
    ended = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_working_directory_that_is_gone_is_one_line(tmp_path):
    shell = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; "
    shell += f"{sys.executable} -m experiments.cli organism list"
    ended = subprocess.run(
        ["sh", "-c", shell], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"gatescope: working directory: expected one that is there")
    assert len(ended.stderr.splitlines()) == 1


def test_arguments_that_are_no_text_are_one_line(gatescope):
    status, _, lines = gatescope("analyze", "--trigger", "\udcff")
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith("gatescope: argument '\\udcff': expected UTF-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("when", ["imports", "measuring"])
def test_a_signal_is_one_line_and_its_status(number, when):
    ready = "print('ready', flush=True); time.sleep(20)"
    body = {
        "imports": "class Slow:\n def find_spec(self, name, *_):\n"
        f"  if name == 'torch': {ready}\n"
        "sys.meta_path.insert(0, Slow())\nsys.argv = ['gatescope', 'analyze']\n",
        "measuring": "from experiments.runs import interrupts\n"
        f"def work():\n interrupts.gently()\n try: {ready}\n finally: print('cleaned')\n"
        "cli._command = work\n",
    }
    # Whoever runs the tests in the background may ignore an interrupt, and so would the command.
    usual = f"import signal, sys, time\nsignal.signal({int(number)}, signal.SIG_DFL)\n"
    code = f"{usual}from experiments import cli\n{body[when]}cli.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert err.decode().splitlines() == [interrupts.STOPPED]
    assert out == (b"cleaned\n" if when == "measuring" else b"")


def _alone(words, after="", **how):
    """The command in a process of its own; ``after`` writes to standard error at its end."""
    end = f"finally:\n sys.stdout = sys.stderr\n {after}" if after else "finally: pass"
    code = f"import sys; from experiments import cli\ntry: cli.main()\n{end}"
    return _python(code, words, **how)


def _python(code, words=(), env=None, stdout=subprocess.PIPE):
    ended = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )
    return ended.returncode, ended.stdout, ended.stderr
