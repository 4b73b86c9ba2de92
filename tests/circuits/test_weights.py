"""The cache of dequantised models: built once, checked on use, never half there."""

import fcntl
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import transformers

from circuits import cache as caches
from circuits import weights
from circuits.errors import UserError

ONE = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)  # a header that says there is nothing more


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache whose dequantising writes two files, and how often it was asked to."""
    builds = []

    def build(gguf, folder):
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(gguf.read_bytes() * 2)
        builds.append(gguf)

    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "_dequantise", build)
    return builds


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(ONE)
    return path


def test_a_file_is_dequantised_once_whatever_its_name(cache, gguf, tmp_path):
    folder = weights.dequantised(gguf)
    assert (folder / "model.safetensors").read_bytes() == ONE * 2
    assert weights.dequantised(gguf.rename(tmp_path / "renamed.gguf")) == folder
    assert len(cache) == 1


def test_other_content_is_another_entry(cache, gguf):
    first = weights.dequantised(gguf)
    gguf.write_bytes(ONE + b"two")
    second = weights.dequantised(gguf)
    assert first != second
    assert (first / "model.safetensors").read_bytes() == ONE * 2
    assert len(cache) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "gatescope-cache.json"])
@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_entry_is_rebuilt(cache, gguf, name, damage):
    path = weights.dequantised(gguf) / name
    path.write_bytes(path.read_bytes()[:-1]) if damage == "truncate" else path.unlink()
    folder = weights.dequantised(gguf)
    assert len(cache) == 2
    assert (folder / "model.safetensors").read_bytes() == ONE * 2


def test_a_build_that_fails_in_the_middle_leaves_nothing(cache, gguf, monkeypatch):
    def half(gguf, folder):
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_dequantise", half)
    with pytest.raises(OSError, match="No space"):
        weights.dequantised(gguf)
    assert not any((caches.cache_root() / "gguf").iterdir())


def test_who_comes_second_takes_the_first_ones_entry(cache, gguf, tmp_path, monkeypatch):
    first = weights.dequantised(gguf).rename(tmp_path / "first")
    place = caches.cache_root() / "gguf" / caches.file_sha256(gguf)[:32]

    def late(gguf, folder):
        (folder / "config.json").write_text("other")
        first.rename(place)  # another process is done

    monkeypatch.setattr(weights, "_dequantise", late)
    assert weights.dequantised(gguf) == place
    assert (place / "config.json").read_text() == "{}"
    assert len(list(place.parent.iterdir())) == 1


def test_the_hash_of_a_directory_covers_names_and_contents_but_not_the_manifest(tmp_path):
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "b.safetensors").write_bytes(b"2")
    before = weights.directory_sha256(tmp_path)
    (tmp_path / "manifest.json").write_text("anything")
    (tmp_path / "README.md").write_text("anything")
    assert weights.directory_sha256(tmp_path) == before
    (tmp_path / "a.json").rename(tmp_path / "c.json")
    assert weights.directory_sha256(tmp_path) != before


def test_a_missing_embedded_model_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(weights, "_EMBEDDED_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="run `make setup`"):
        weights.embedded_gguf()


@pytest.fixture
def killed(cache, gguf):
    """A process that was killed while it built: what it built in is left."""
    place = caches.cache_root() / "gguf"
    program = (
        "import time; from pathlib import Path; from circuits.cache import cached\n"
        f"def build(scratch):\n  (scratch / 'half').write_text('x'); print(1, flush=True)\n"
        f"  time.sleep(60)\n"
        f"cached(Path({str(place / 'other')!r}), 'index.json', build)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_what_a_killed_build_left_is_removed_and_what_is_built_in_stays(killed, gguf):
    place = caches.cache_root() / "gguf"
    (scratch,) = place.glob("building-*")
    weights.dequantised(gguf)
    assert (scratch / "half").is_file()  # it is built in
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    weights.dequantised(gguf)  # which is there already
    assert not scratch.exists()


def test_a_build_that_is_locked_is_left_alone_by_any_number_of_others(cache, gguf):
    place = caches.cache_root() / "gguf"
    mine, left = place / "building-mine", place / "building-left"
    mine.mkdir(parents=True)
    left.mkdir()
    held = os.open(mine, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    weights.dequantised(gguf)
    assert (mine.exists(), left.exists()) == (True, False)
    os.close(held)
    weights.dequantised(gguf)
    assert not mine.exists()


@pytest.mark.parametrize(
    "index",
    ["[]", "{}", "3", "", '{"files": []}', '{"files": {}}', '{"files": {"config.json": 3}}',
     '{"files": {"../../x": "0"}}', "[" * 10**5],
)  # fmt: skip
def test_a_malformed_index_is_rebuilt(cache, gguf, index):
    path = weights.dequantised(gguf) / "gatescope-cache.json"
    path.write_text(index)
    weights.dequantised(gguf)
    assert len(cache) == 2
    assert "model.safetensors" in json.loads(path.read_text())["files"]


def test_an_entry_with_a_file_more_is_rebuilt(cache, gguf):
    folder = weights.dequantised(gguf)
    (folder / "tokenizer_config.json").write_text("{}")
    assert not (weights.dequantised(gguf) / "tokenizer_config.json").exists()


@pytest.mark.parametrize("where", ["a file", "below a file", "nowhere", "link to itself", "long"])
def test_a_cache_that_cannot_be_written_is_told_with_its_variable(
    cache, gguf, tmp_path, monkeypatch, where
):
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    link.symlink_to(link)
    places = {"a file": file, "below a file": file / "x", "nowhere": "/proc/nothing"}
    places |= {"link to itself": link, "long": tmp_path / ("n" * 300)}
    monkeypatch.setenv("GATESCOPE_CACHE", str(places[where]))
    with pytest.raises(
        UserError, match=r"cache .*: expected a directory that can .*GATESCOPE_CACHE="
    ):
        weights.dequantised(gguf)
    assert cache == []


def test_a_full_disk_is_told_with_the_folder(cache, gguf, monkeypatch):
    def full(gguf, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_dequantise", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*cache/gguf'"):
        weights.dequantised(gguf)


def test_what_a_gguf_became_is_known_by_the_gguf(cache, gguf, tmp_path):
    """Another library writes another configuration beside the same weights."""
    folder = weights.dequantised(gguf)
    config = folder / "config.json"
    before = weights.directory_sha256(folder)
    config.write_text(config.read_text() + " ")
    assert weights.directory_sha256(folder) != before
    assert weights.model_sha256(folder) == weights.file_sha256(gguf)
    copied = shutil.copytree(folder, tmp_path / "copied")  # whose files nobody verifies
    assert weights.model_sha256(copied) == weights.directory_sha256(copied)


def test_links_are_followed_once_and_hidden_folders_left_out(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "model"
    outside.mkdir()
    folder.mkdir()
    (outside / "other.jinja").write_text("one")
    before = weights.directory_sha256(folder)
    (folder / "additional_chat_templates").symlink_to(outside)
    (folder / "again").symlink_to(folder)
    linked = weights.directory_sha256(folder)
    (outside / "other.jinja").write_text("two")
    assert len({before, linked, weights.directory_sha256(folder)}) == 3
    (folder / ".cache").mkdir()
    now = weights.directory_sha256(folder)
    (folder / ".cache" / "x.json").write_text("{}")
    assert weights.directory_sha256(folder) == now


def test_whatever_a_tokenizer_of_transformers_reads_is_in_the_hash():
    """The names of its files stand in its source; those without a suffix are no files."""
    models = Path(transformers.__file__).parent / "models"
    names: set[str] = set()
    for source in models.glob("*/tokenization_*.py"):
        for table in re.findall(r"VOCAB_FILES_NAMES = \{(.*?)\}", source.read_text(), re.DOTALL):
            names.update(re.findall(r':\s*"([^"]+)"', table))
    assert {"tokenizer.json", "vocab.txt", "spiece.model"} <= names
    suffixes = {Path(name).suffix for name in names} - {""}
    assert suffixes - weights._CONTENT == set()
