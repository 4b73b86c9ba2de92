"""The cache of dequantised models: built once, checked on use, never half there."""

import pytest

from circuits import weights
from circuits.errors import UserError


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
    path.write_bytes(b"one")
    return path


def test_a_file_is_dequantised_once_whatever_its_name(cache, gguf, tmp_path):
    folder = weights.dequantised(gguf)
    assert (folder / "model.safetensors").read_bytes() == b"oneone"
    assert weights.dequantised(gguf.rename(tmp_path / "renamed.gguf")) == folder
    assert len(cache) == 1


def test_other_content_is_another_entry(cache, gguf):
    first = weights.dequantised(gguf)
    gguf.write_bytes(b"two")
    second = weights.dequantised(gguf)
    assert first != second
    assert (first / "model.safetensors").read_bytes() == b"oneone"
    assert len(cache) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "gatescope-cache.json"])
@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_entry_is_rebuilt(cache, gguf, name, damage):
    path = weights.dequantised(gguf) / name
    path.write_bytes(path.read_bytes()[:-1]) if damage == "truncate" else path.unlink()
    folder = weights.dequantised(gguf)
    assert len(cache) == 2
    assert (folder / "model.safetensors").read_bytes() == b"oneone"


def test_a_build_that_fails_in_the_middle_leaves_nothing(cache, gguf, monkeypatch):
    def half(gguf, folder):
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "_dequantise", half)
    with pytest.raises(OSError, match="No space"):
        weights.dequantised(gguf)
    assert not any((weights.cache_root() / "gguf").iterdir())


def test_who_comes_second_takes_the_first_ones_entry(cache, gguf, tmp_path, monkeypatch):
    first = weights.dequantised(gguf).rename(tmp_path / "first")
    place = weights.cache_root() / "gguf" / weights.file_sha256(gguf)[:32]

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
