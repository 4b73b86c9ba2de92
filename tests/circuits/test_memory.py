"""What surely cannot fit is refused before it is read, with what to do; what fits is read."""

import sys
import warnings

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny_gguf import gguf_file

from circuits import checkpoint, free, memory, models, weights
from circuits.errors import UserError
from circuits.memory import Load, require_disk, require_room


@pytest.fixture
def room(monkeypatch):
    """What is free, by device."""
    left = {"cpu": 10**12}
    monkeypatch.setattr(memory, "free_bytes", lambda device: left[device])
    return left


def said(call, *given):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*given)
    return [str(warning.message) for warning in caught]


def test_what_fits_to_the_byte_is_taken_and_one_less_is_refused(room):
    load = Load(250, torch.float32)
    room["cpu"] = 1000
    require_room(load, "cpu", "model x")
    room["cpu"] = 999
    with pytest.raises(
        UserError, match=r"model x: expected .* free on cpu for 0 M numbers in fp32"
    ):
        require_room(load, "cpu", "model x")


def test_half_precision_is_advised_only_where_it_fits(room):
    load = Load(1_540_000_000, torch.float32)
    room["cpu"] = 4 * memory.GIB
    with pytest.raises(UserError) as caught:
        require_room(load, "cpu", "model x")
    assert str(caught.value) == (
        "model x: expected 5.7 GiB free on cpu for 1.54 B numbers in fp32, got 4.0 GiB; give "
        "--dtype bf16 (2.9 GiB), or a smaller model"
    )
    room["cpu"] = 2 * memory.GIB
    with pytest.raises(UserError, match=r"got 2\.0 GiB; give a smaller model"):
        require_room(load, "cpu", "model x")
    room["cpu"] = 4 * memory.GIB  # control: in half precision it fits
    assert said(require_room, Load(1_540_000_000, torch.bfloat16), "cpu", "model x")


def test_a_large_load_is_said_in_one_line_and_a_small_one_is_not(room):
    room["cpu"] = 14 * memory.GIB
    assert said(require_room, Load(1_540_000_000, torch.float32), "cpu", "model x") == [
        "model x: loads 1.54 B numbers in fp32: 5.7 GiB of 14.0 GiB free"
    ]
    assert said(require_room, Load(135_000_000, torch.float32), "cpu", "model x") == []


def test_a_second_copy_counts_unless_its_pages_can_be_dropped(room):
    room["cpu"] = 7000
    with pytest.raises(UserError, match="0 M of them twice"):
        require_room(Load(1000, torch.float32, twice=900), "cpu", "x")
    require_room(Load(1000, torch.float32, twice=900, mapped=True), "cpu", "x")


def test_an_accelerator_needs_room_too_and_passes_through_memory_unless_mapped(room):
    room |= {"cuda": 10**9, "cpu": 3000}
    load = Load(1000, torch.float32)
    with pytest.raises(UserError, match="free on cpu"):
        require_room(load, "cuda", "x")
    require_room(Load(1000, torch.float32, mapped=True), "cuda", "x")
    room |= {"cuda": 3000, "cpu": 10**9}
    with pytest.raises(UserError, match="free on cuda"):
        require_room(load, "cuda", "x")


def test_a_disk_without_room_is_told(tmp_path):
    require_disk(1000, tmp_path / "not" / "there", "model x")
    with pytest.raises(
        UserError, match=r"model x: expected .* free on the disk of .*GATESCOPE_CAC"
    ):
        require_disk(2**62, tmp_path / "not" / "there", "model x")


def test_a_model_that_does_not_fit_is_refused_before_its_weights_are_read(
    folder, room, monkeypatch
):
    numbers = sum(
        p.numel() for p in models.read_plain(str(folder), torch.float32, "cpu")[0].parameters()
    )
    room["cpu"] = numbers * 4
    models.load(str(folder), device="cpu", backend="plain")
    room["cpu"] -= 1
    monkeypatch.setattr(models, "read_weights", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(UserError, match=rf"model {folder}: expected .* numbers in fp32.*bf16"):
        models.load(str(folder), device="cpu", backend="plain")


def test_tied_weights_that_are_stored_twice_count_once(tmp_path, tokenizer, room):
    tied = tiny.llama(len(tokenizer), tie_word_embeddings=True)
    tiny.saved(tmp_path, tied, tokenizer)
    path = tmp_path / "model.safetensors"
    held = load_file(path)  # as some tools save it
    held["lm_head.weight"] = held["model.embed_tokens.weight"].clone()
    save_file(held, path, metadata={"format": "pt"})
    numbers = sum(p.numel() for p in tied.parameters())
    assert checkpoint.stored(tmp_path, "x").numbers > numbers
    room["cpu"] = numbers * 4
    models.load(str(tmp_path), device="cpu", backend="plain")


def test_a_gguf_is_refused_before_it_is_dequantised(tokenizer, tmp_path, room, monkeypatch):
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    path = gguf_file(tmp_path / "model.gguf", tokenizer)
    numbers = sum(p.numel() for p in tiny.llama(len(tokenizer), layers=2).parameters())
    room["cpu"] = 8 * numbers - 1  # while it is written, its numbers are there twice
    with pytest.raises(UserError, match=r"dequantised once: expected .* free on cpu"):
        weights.dequantised(path)
    room["cpu"] = 8 * numbers
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda _: type("Use", (), {"free": 1}))
    with pytest.raises(UserError, match=r"dequantised once: expected .* free on the disk"):
        weights.dequantised(path)
    assert not list((tmp_path / "cache").glob("gguf/*"))
    monkeypatch.undo()
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    assert weights.dequantised(path).is_dir()


def group(root, **files):
    root.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (root / name.replace("__", ".")).write_text(str(value))


def test_a_containers_limit_is_one_and_its_pages_of_files_are_free(tmp_path, monkeypatch):
    monkeypatch.setattr(free, "_ROOT", tmp_path)
    monkeypatch.setattr(free, "_OWN", tmp_path / "own")
    monkeypatch.setattr(free.psutil, "swap_memory", lambda: type("S", (), {"free": 50}))
    machine = type("M", (), {"available": 10_000})
    monkeypatch.setattr(free.psutil, "virtual_memory", lambda: machine)
    assert free.free_bytes("cpu") == 10_050  # not a Linux, or no groups
    (tmp_path / "own").write_text("0::/a/b\n")
    group(tmp_path / "a", memory__max=2000, memory__current=1500, memory__swap__max=20)
    assert free.free_bytes("cpu") == 520
    stat = "anon 900\ninactive_file 300\nactive_file 100\n"
    group(tmp_path / "a", memory__stat=stat)
    assert free.free_bytes("cpu") == 920
    group(tmp_path / "a" / "b", memory__max="max", memory__current=7)
    assert free.free_bytes("cpu") == 920
    group(tmp_path / "a" / "b", memory__max=100, memory__swap__max=0)
    assert free.free_bytes("cpu") == 93


def test_the_first_version_counts_memory_and_swap_together(tmp_path, monkeypatch):
    monkeypatch.setattr(free, "_ROOT", tmp_path)
    monkeypatch.setattr(free, "_OWN", tmp_path / "own")
    monkeypatch.setattr(free.psutil, "swap_memory", lambda: type("S", (), {"free": 500}))
    (tmp_path / "own").write_text("8:pids:/x\n4:cpu,memory:/box\n")
    at = tmp_path / "memory" / "box"
    group(at, memory__limit_in_bytes=1000, memory__usage_in_bytes=800)
    group(at, memory__memsw__limit_in_bytes=1100, memory__memsw__usage_in_bytes=800)
    group(at, memory__stat="total_inactive_file 60\ntotal_active_file 40\ninactive_file 1\n")
    assert free.free_bytes("cpu") == 400


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted otherwise")
def test_what_is_held_is_no_longer_free():
    """The figure is of this machine, where others take and give back memory meanwhile."""
    size, apart = 2**28, []
    for _ in range(10):
        before = free.free_bytes("cpu")
        held = torch.ones(size // 4)
        apart.append(abs(before - free.free_bytes("cpu") - size))
        del held
    assert min(apart) < size / 4
