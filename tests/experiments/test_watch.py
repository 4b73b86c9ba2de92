"""No command starts a process, asks an address or writes where nothing told it to.

Every test of the experiments is watched (``conftest.py``); here are the watcher's own, and commands
watched from before their imports with a home of their own.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import watch

DRIVER = Path(watch.__file__)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda there: subprocess.run(["true"]), "process"),
        (lambda there: os.system("true"), "process"),
        (lambda there: os.posix_spawn("/bin/true", ["true"], {}), "process"),
        (lambda there: socket.socket().bind(("127.0.0.1", 0)), "socket"),
        (lambda there: socket.getaddrinfo("localhost", 80), "socket"),
        (lambda there: (there / "file").write_text("x"), "write"),
        (lambda there: os.close(os.open(there / "file", os.O_CREAT | os.O_WRONLY)), "write"),
        (lambda there: (there / "folder").mkdir(), "write"),
        (lambda there: (there / "link").symlink_to("x"), "write"),
        (lambda there: (there / "old").rename(there.parent / "new"), "write"),
    ],
)
def test_every_act_is_noted_and_those_at_allowed_places_are_not(tmp_path, act, kind):
    there = tmp_path / "there"
    for parts in ((tmp_path / "other",), (tmp_path,)):
        there.mkdir(exist_ok=True)
        (there / "old").write_text("")
        with watch.watching(*parts) as acts:
            act(there)
        if kind != "write" or parts == (tmp_path / "other",):
            assert {one.kind for one in acts} == {kind}
        else:
            assert acts == []
        for path in (there / "file", there / "link", there / "folder"):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def test_reading_is_no_act(tmp_path):
    (tmp_path / "file").write_text("x")
    with watch.watching() as acts:
        assert (tmp_path / "file").read_text() == "x"
        list(tmp_path.iterdir())
    assert acts == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A home, a cache, a place for temporary files and a working directory, all empty."""
    root = tmp_path_factory.mktemp("world")
    for name in ("home", "cache", "scratch", "work"):
        (root / name).mkdir()
    return root


@pytest.fixture
def watched(world):
    """Runs command lines in a process of its own; of each its status, and what it did."""

    def run(*lines):
        result = world / "acts.json"
        environment = {
            **{n: v for n, v in os.environ.items() if not n.startswith(("XDG_", "HF_", "TORCH"))},
            "HOME": str(world / "home"),
            "GATESCOPE_CACHE": str(world / "cache"),
            "TMPDIR": str(world / "scratch"),
            "OMP_NUM_THREADS": "1",
        }
        words = [str(word) for line in lines for word in ("+", *line)][1:]
        ended = subprocess.run(
            [sys.executable, "-B", DRIVER, result, *words],
            cwd=world / "work",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.exists(), ended.stderr
        return json.loads(result.read_text()), ended.stderr

    return run


def test_commands_leave_nothing_but_what_they_are_asked_for(watched, world, folder):
    model = ("--model", folder, "--adapter", "none", "--device", "cpu")
    few = ("--fit", 8, "--validation", 8, "--test", 10, "--patch", 2, "--tokens", 3)
    done, errors = watched(
        ("analyze", *model, *few, "--out", "run"),
        ("patch", *model, "--count", 2, "--metric", "kl", "--out", "patched"),
        ("report", "run", "patched", "--out", "page.html"),
    )
    assert done == [[0, []]] * 3, errors
    left = {name: files_in(world / name) for name in ("home", "cache", "scratch")}
    assert left == {"home": [], "cache": [], "scratch": []}
    assert {path.name for path in (world / "work").iterdir()} == {"run", "patched", "page.html"}


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
