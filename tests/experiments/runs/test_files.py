"""A file that exists is complete; a directory belongs to one run."""

import errno
import json
import os
from dataclasses import replace

import pytest
import torch

from circuits.errors import UserError
from experiments.runs import files, formats
from experiments.runs.files import Manifest, open_run, read_json, write_atomically, write_json

MANIFEST = Manifest(
    "analysis", {"model": "m", "trigger": "cobalt", "sizes": (1, 2)}, "gatescope analyze"
)


def full_disk(*_args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fails", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fails):
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(fails, full_disk)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_being_stopped_in_the_middle_leaves_no_scratch_file(tmp_path, monkeypatch):
    def stop(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a" / "b.json", b"x")
    assert os.listdir(tmp_path / "a") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_json_is_strict(tmp_path, value):
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"value": value})
    assert not path.exists()
    write_json(path, {"value": 1.5, "text": "ü"})
    assert read_json(path) == {"value": 1.5, "text": "ü"}


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"half": ')
    for wrong in (path, tmp_path / "missing.json"):
        with pytest.raises(UserError, match="expected a JSON file") as caught:
            read_json(wrong)
        assert "\n" not in str(caught.value)


def test_tensors_and_rows_come_back_as_they_went(tmp_path):
    tensor = torch.arange(12.0).reshape(3, 4).T  # not contiguous
    files.write_tensors(tmp_path / "t.safetensors", {"a": tensor}, {"stage": "x"})
    assert torch.equal(files.read_tensors(tmp_path / "t.safetensors")["a"], tensor)
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    (tmp_path / "r.parquet").write_bytes(formats.row_bytes(rows))
    assert files.read_table(tmp_path / "r.parquet").to_dict("records") == rows


def test_metadata_is_written_in_one_order():
    about = {"site": "x", "estimator": "y", "a": "z"}
    tensors = {"direction": torch.arange(3.0)}
    turned = dict(reversed(about.items()))
    content = formats.tensor_bytes(tensors, about)
    assert content == formats.tensor_bytes(tensors, turned)
    assert content.index(b'"a"') < content.index(b'"estimator"') < content.index(b'"site"')


def test_a_new_or_empty_directory_is_claimed(tmp_path):
    assert open_run(tmp_path / "deep" / "new", MANIFEST, resume=False) is False
    (tmp_path / "empty").mkdir()
    assert open_run(tmp_path / "empty", MANIFEST, resume=True) is False
    found = json.loads((tmp_path / "empty" / "manifest.json").read_text())
    assert found["schema"] == files.SCHEMA
    assert found["question"]["trigger"] == "cobalt"
    assert found["versions"]["torch"]


def test_the_same_run_is_resumed_when_asked_and_refused_when_not(tmp_path):
    open_run(tmp_path, MANIFEST, resume=False)
    before = (tmp_path / "manifest.json").read_bytes()
    assert open_run(tmp_path, replace(MANIFEST, command="other", versions={}), resume=True) is True
    assert (tmp_path / "manifest.json").read_bytes() == before
    with pytest.raises(UserError, match="this very run; add --resume"):
        open_run(tmp_path, MANIFEST, resume=False)


@pytest.mark.parametrize("resume", [True, False])
def test_another_run_is_refused_by_its_name(tmp_path, resume):
    open_run(tmp_path, MANIFEST, resume=False)
    other = replace(MANIFEST, question={**MANIFEST.question, "trigger": "amber"})
    with pytest.raises(UserError, match=r"another run \(analysis model=m trigger=cobalt\)"):
        open_run(tmp_path, other, resume)


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        open_run(tmp_path, MANIFEST, resume=True)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(UserError, match="expected a directory, got a file"):
        open_run(tmp_path / "thesis.tex", MANIFEST, resume=False)


def test_a_half_written_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="expected a JSON file"):
        open_run(tmp_path, MANIFEST, resume=True)


def test_the_hash_of_texts_knows_order_and_borders():
    hashes = {
        files.text_sha256(t) for t in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab", "", "c"])
    }
    assert len(hashes) == 4


def test_a_manifest_without_the_hash_of_rendered_prompts_is_the_same_run_still(tmp_path):
    old = files.Manifest("analysis", {"model": "m"}, "gatescope")
    files.open_run(tmp_path, old, resume=False)
    assert files.open_run(
        tmp_path, replace(old, question={"model": "m", "rendered_sha256": "a"}), True
    )
    with pytest.raises(UserError, match="another run"):
        files.open_run(tmp_path, replace(old, question={"model": "m", "other": "a"}), True)


def test_prompts_rendered_otherwise_are_another_run(tmp_path):
    today = files.Manifest("analysis", {"model": "m", "rendered_sha256": "a"}, "gatescope")
    files.open_run(tmp_path, today, resume=False)
    assert files.open_run(tmp_path, today, resume=True)
    with pytest.raises(UserError, match="chat template has changed or writes today's date; pin it"):
        files.open_run(
            tmp_path, replace(today, question={"model": "m", "rendered_sha256": "b"}), True
        )
