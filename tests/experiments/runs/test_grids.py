"""A patch grid's two files are one: read as they were written, bit for bit, or refused."""

import math
import os
from dataclasses import fields, replace

import pytest
import torch

from circuits.errors import UserError
from circuits.types import PatchGrid
from experiments.runs import files
from experiments.runs.files import read_json, write_json
from experiments.runs.ledger import Ledger


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_grid_comes_back_bit_for_bit_with_every_field(tmp_path, dtype):
    grid, stem, ledger = a_grid(dtype=dtype), "new/v1.5-noising", Ledger(tmp_path)
    assert not ledger.has(f"{stem}.json")
    ledger.write_grid(stem, grid)
    assert ledger.has(f"{stem}.json")
    assert sorted(os.listdir(tmp_path / "new")) == [
        "v1.5-noising.json",
        "v1.5-noising.safetensors",
    ]
    found = ledger.grid(stem)
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
    Ledger(tmp_path).write_grid("g", replace(a_grid(), axes=("layer", "position")))
    about = read_json(tmp_path / "g.json")
    del about["axes"]
    write_json(tmp_path / "g.json", about)
    assert Ledger(tmp_path).grid("g").axes == ("layer", "position")


def test_a_stop_between_the_two_files_leaves_no_grid_and_no_mixture(tmp_path, monkeypatch):
    real = files.write_atomically

    def stop(path, content):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        real(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_atomically", stop)
        with pytest.raises(KeyboardInterrupt):
            Ledger(tmp_path).write_grid("g", a_grid())
    assert not Ledger(tmp_path).has("g.json")
    Ledger(tmp_path).write_grid("g", a_grid())
    monkeypatch.setattr(files, "write_atomically", stop)
    with pytest.raises(KeyboardInterrupt):
        Ledger(tmp_path).write_grid("g", a_grid(seed=1))
    with pytest.raises(UserError, match="got others or only a part"):
        Ledger(tmp_path).grid("g")


def spoil(folder, how):
    """Damage the grid `g` in one way."""
    about, tensors = folder / "g.json", folder / "g.safetensors"
    if how in ("json", "safetensors"):
        (folder / f"g.{how}").unlink()
    elif how == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-1])
    elif how == "other":
        Ledger(folder).write_grid("h", a_grid(seed=1))
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
    Ledger(tmp_path).write_grid("g", a_grid())
    Ledger(tmp_path).grid("g")
    spoil(tmp_path, how)
    with pytest.raises(UserError, match=says) as caught:
        Ledger(tmp_path).grid("g")
    assert "\n" not in str(caught.value)
