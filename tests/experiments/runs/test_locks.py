"""One process at a time is at a directory; what killed ones have left is told from a user's own."""

import os
import time

import pytest

from circuits.errors import UserError
from experiments.runs import files, locks
from experiments.runs.files import Manifest, open_run

MANIFEST = Manifest("analysis", {"model": "m", "trigger": "cobalt"}, "gatescope analyze")


def test_a_claim_that_was_killed_is_accepted(tmp_path):
    for resume in (False, True):
        folder = tmp_path / str(resume)
        folder.mkdir()
        (folder / ".manifest.json-abcd1234").write_bytes(b"{")
        (folder / locks.LOCK).write_bytes(b"")
        assert open_run(folder, MANIFEST, resume) is False
        locks.release(folder)
        assert os.listdir(folder) == ["manifest.json"]
    (folder / "manifest.json").unlink()
    (folder / ".notes-abcd1234").write_bytes(b"{")
    with pytest.raises(UserError, match="holds other files"):
        open_run(folder, MANIFEST, resume=True)
    assert os.listdir(folder) == [".notes-abcd1234"]


def holding(folder, seconds):
    """A process that holds a directory, once it does."""
    pid = os.fork()
    if pid == 0:
        locks.hold(folder)
        time.sleep(seconds)
        os._exit(0)
    while not (folder / locks.LOCK).is_file() or len((folder / locks.LOCK).read_bytes()) < 8:
        time.sleep(0.01)
    return pid


def test_who_holds_a_directory_is_told_and_a_killed_holder_holds_nothing(tmp_path):
    run = tmp_path / "run"
    open_run(run, MANIFEST, resume=False)
    locks.release(run)
    pid = holding(run, 60)
    with pytest.raises(UserError, match=f"pid {pid} on .* is at it since"):
        open_run(run, MANIFEST, resume=True)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert open_run(run, MANIFEST, resume=True)
    locks.release(run)
    assert not (run / locks.LOCK).exists()


def test_a_directory_that_a_killed_process_was_building_is_removed(tmp_path):
    pid = os.fork()
    if pid == 0:
        with files.built(tmp_path / "model") as scratch:
            (scratch / "half").write_bytes(b"x")
            os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    (tmp_path / ".model-notes123").mkdir()  # a user's
    assert len(os.listdir(tmp_path)) == 3
    with files.built(tmp_path / "model") as scratch:
        (scratch / "whole").write_bytes(b"x")
    assert sorted(os.listdir(tmp_path)) == [".model-notes123", "model"]
    assert os.listdir(tmp_path / "model") == ["whole"]


@pytest.mark.parametrize("name", ["f/run", "loop", "n" * 300, "/proc/nothing", "\udcff"])
def test_a_place_that_cannot_be_is_refused_before_anything_is_opened(tmp_path, name):
    (tmp_path / "f").write_text("a file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises((UserError, OSError)) as told:
        locks.require_place(tmp_path / name)
    assert "\n" not in str(told.value)
    assert sorted(os.listdir(tmp_path)) == before
    locks.require_place(tmp_path / "deep" / "run")  # what can be made is accepted, and not made
    assert sorted(os.listdir(tmp_path)) == before
