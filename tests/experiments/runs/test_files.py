"""A file that exists is complete; a directory belongs to one run."""

import errno
import json
import math
import os
from dataclasses import fields, replace

import pandas as pd
import pytest
import torch

from circuits.errors import UserError
from circuits.types import PatchGrid
from experiments.runs import files
from experiments.runs.files import Manifest, open_run, read_json, write_atomically, write_json

MANIFEST = Manifest(
    "analysis", {"model": "m", "trigger": "cobalt", "sizes": (1, 2)}, "gatescope analyze"
)


def a_grid(seed: int = 0, dtype: torch.dtype = torch.float32) -> PatchGrid:
    """Values with undefined cells, and labels that are hard on text files."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(3, 2, 4, generator=generator).to(dtype)
    values[1, 0], values[2, 1, 3] = math.nan, -0.0
    base, source = torch.randn(2, 4, generator=generator).to(dtype)
    labels = ("\n", 'é"\ud800')  # the second as byte-level vocabularies can give it
    return PatchGrid("noising", "z", "gap", labels, values, base, source, ("layer", "head"))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


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
    files.write_rows(tmp_path / "r.parquet", rows)
    assert pd.read_parquet(tmp_path / "r.parquet").to_dict("records") == rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_grid_comes_back_bit_for_bit_with_every_field(tmp_path, dtype):
    grid, stem = a_grid(dtype=dtype), tmp_path / "new" / "v1.5-noising"
    assert not files.has_grid(stem)
    files.write_grid(stem, grid)
    assert files.has_grid(stem)
    assert sorted(os.listdir(tmp_path / "new")) == [
        "v1.5-noising.json",
        "v1.5-noising.safetensors",
    ]
    found = files.read_grid(stem)
    for field in fields(PatchGrid):
        went, came = getattr(grid, field.name), getattr(found, field.name)
        assert type(went) is type(came)
        if isinstance(went, torch.Tensor):
            assert same_bits(went, came), field.name
        else:
            assert went == came, field.name
    assert not same_bits(found.values, a_grid(seed=1, dtype=dtype).values)
    assert read_json(tmp_path / "new" / "v1.5-noising.json")["schema"] == "gatescope.patch-grid/1"


def test_a_grid_kept_before_a_field_was_added_has_its_default(tmp_path):
    files.write_grid(tmp_path / "g", replace(a_grid(), axes=("layer", "position")))
    about = read_json(tmp_path / "g.json")
    del about["axes"]
    write_json(tmp_path / "g.json", about)
    assert files.read_grid(tmp_path / "g").axes == ("layer", "position")


def test_a_stop_between_the_two_files_leaves_no_grid_and_no_mixture(tmp_path, monkeypatch):
    real = files.write_atomically

    def stop(path, content):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_atomically", stop)
        with pytest.raises(KeyboardInterrupt):
            files.write_grid(tmp_path / "g", a_grid())
    assert not files.has_grid(tmp_path / "g")
    files.write_grid(tmp_path / "g", a_grid())
    monkeypatch.setattr(files, "write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        files.write_grid(tmp_path / "g", a_grid(seed=1))
    with pytest.raises(UserError, match="got others or only a part"):
        files.read_grid(tmp_path / "g")


def spoil(folder, how):
    """Damage the grid `g` in one way."""
    about, tensors = folder / "g.json", folder / "g.safetensors"
    if how in ("json", "safetensors"):
        (folder / f"g.{how}").unlink()
    elif how == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif how == "other":
        files.write_grid(folder / "h", a_grid(seed=1))
        (folder / "h.safetensors").replace(tensors)
    elif how == "binary":
        about.write_bytes(b"\xff\xfe")
    elif how == "list":
        write_json(about, [1, 2])
    else:
        key, value = how
        write_json(about, {**read_json(about), key: value})


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("json", "g.json: .*missing"),
        ("safetensors", "g.safetensors: .*missing"),
        ("truncated", "only a part"),
        ("other", "got others"),
        ("binary", "expected a JSON file"),
        ("list", "got a list"),
        (("schema", "gatescope.patch-grid/2"), "expected schema gatescope.patch-grid/1, got .*/2"),
        (("colour", "blue"), "expected fields .*got .*colour"),
        (("labels", ["a"]), "expected values of .*'labels': 1"),
        (("labels", 3), "labels: expected `array`, got `int`"),
        (("axes", ["layer"]), "expected values of .*layer.* and examples"),
        (("direction", "\x1b[31mup"), r"direction: .*got '\\x1b\[31mup'"),
    ],
)
def test_files_that_are_not_one_whole_grid_are_refused(tmp_path, how, says):
    files.write_grid(tmp_path / "g", a_grid())
    files.read_grid(tmp_path / "g")
    spoil(tmp_path, how)
    with pytest.raises(UserError, match=says) as caught:
        files.read_grid(tmp_path / "g")
    assert "\n" not in str(caught.value)


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


def test_case_24_prompts_rendered_otherwise_are_another_run(tmp_path):
    today = files.Manifest("analysis", {"model": "m", "rendered_sha256": "a"}, "gatescope")
    files.open_run(tmp_path, today, resume=False)
    assert files.open_run(tmp_path, today, resume=True)
    with pytest.raises(UserError, match="chat template has changed or writes today's date; pin it"):
        files.open_run(
            tmp_path, replace(today, question={"model": "m", "rendered_sha256": "b"}), True
        )
