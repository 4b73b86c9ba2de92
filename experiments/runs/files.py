"""Run directories: atomic files, a versioned manifest, and stages that resume after a kill.

A run directory belongs to one question. Its manifest is written first; every stage writes its
files by rename, so a file that exists is complete and a resumed run skips it. The manifest has the
hashes of what was written (``experiments.runs.ledger``).
"""

import hashlib
import json
import os
import platform
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from circuits.errors import UserError, expect, one_line, quoted, writing
from circuits.prompt import spelled
from experiments.runs import formats, locks
from experiments.runs.codec import as_json
from experiments.runs.foreign import read_json as read_json
from experiments.runs.foreign import read_object as read_object
from experiments.runs.foreign import read_table as read_table
from experiments.runs.foreign import read_tensors as read_tensors

SCHEMA = "gatescope.manifest/1"
_PACKAGES = (
    "gatescope",
    "torch",
    "transformers",
    "transformer_lens",
    "peft",
    "datasets",
    "safetensors",
)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either absent, as it was, or complete."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(scratch).chmod(0o644)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise


@contextmanager
def built(out: Path) -> Iterator[Path]:
    """A directory to fill: it takes its place when it is complete, and is gone if that fails.

    Raises:
        UserError: the place holds something, is a file, or cannot be named.
        WriteError: nothing can be made there.
    """
    with writing(out):
        filled = out.is_file() or (out.is_dir() and any(out.iterdir()))
    expect(not filled, "an empty or new directory", "one that is filled", of=f"--out {out}")
    locks.require_place(out)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with locks.scratch_beside(out) as scratch:
        yield scratch
        scratch.chmod(0o755)
        with writing(out):  # somebody may have filled the place meanwhile
            scratch.replace(out)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON (no NaN), human-readable."""
    write_atomically(path, formats.json_bytes(value))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """A safetensors file; ``about`` goes into its metadata."""
    write_atomically(path, formats.tensor_bytes(tensors, about))


def text_sha256(texts: Sequence[str]) -> str:
    """Hash of an ordered set of texts; of prompts, with what was said before them."""
    return hashlib.sha256("\0".join(map(spelled, texts)).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a run was made from. Two runs with equal ``question`` measure the same thing."""

    kind: str
    question: dict[str, Any]
    command: str
    versions: dict[str, str] = field(default_factory=lambda: package_versions())
    machine: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    schema: str = SCHEMA


def package_versions() -> dict[str, str]:
    """Installed versions of what numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


_LATE = {"rendered_sha256"}  # manifests from before have none


def read_manifest(folder: Path) -> dict[str, Any]:
    """A run's manifest.

    Raises:
        UserError: there is none, of this schema, with a kind and a question.
    """
    path, advice = folder / "manifest.json", "use the version that made it, or make the run again"
    if not path.is_file():
        raise UserError(f"{folder}: expected a run directory, got one without manifest.json")
    value = read_object(path)
    schema, kind = value.get("schema"), value.get("kind")
    expect(schema == SCHEMA, f"a manifest ({SCHEMA})", schema, advice, str(path))
    whole = isinstance(kind, str) and isinstance(value.get("question"), dict)
    expect(whole, "a manifest with kind and question", "one without", advice, str(path))
    return value


def open_run(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Claim a directory for a run; returns whether it continues an earlier one.

    The process holds the directory until it ends, or gives it back (``locks.release``). What runs
    that were killed were writing is removed.

    Raises:
        UserError: the directory holds another run, or other files, or another process is at it.
    """
    locks.require_place(folder)
    locks.hold(folder)
    try:
        return _claimed(folder, manifest, resume)
    except BaseException:
        locks.release(folder)
        raise


def _claimed(folder: Path, manifest: Manifest, resume: bool) -> bool:
    if (folder / "manifest.json").is_file():
        earlier = read_manifest(folder)
        known, asked = earlier["question"], json.loads(json.dumps(manifest.question))
        if known not in (asked, _without(asked)):
            if _without(known) == _without(asked):
                raise UserError(
                    f"--out {folder}: expected the prompts of this run as they were written then, "
                    "got others: its chat template has changed or writes today's date; pin it "
                    "(--template-option date_string=... where the template takes one, or "
                    "--template FILE), or choose another --out"
                )
            raise UserError(f"--out {folder}: holds another run ({_what(earlier)}); choose another")
        if not resume:
            raise UserError(f"--out {folder}: holds this very run; add --resume, or choose another")
        _tell_versions(folder, earlier.get("versions"), manifest.versions)
        return True
    own = [p for p in folder.iterdir() if locks.scratch_of(p.name) == "manifest.json"]
    if {p.name for p in folder.iterdir()} - {locks.LOCK, *(p.name for p in own)}:
        raise UserError(f"--out {folder}: expected an empty or new directory, it holds other files")
    for scratch in own:  # of a start that was killed
        scratch.unlink()
    write_json(folder / "manifest.json", {**as_json(manifest), "files": {}})
    return False


def _without(question: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if name not in _LATE}


def let_go(folder: Path) -> None:
    """Give a directory back in which nothing stands but the manifest, to who holds it."""
    if {path.name for path in folder.iterdir()} - {locks.LOCK} == {"manifest.json"}:
        (folder / "manifest.json").unlink()


def _tell_versions(folder: Path, earlier: Any, now: Mapping[str, str]) -> None:
    """A line of the packages that have another version than when a run was begun."""
    then = earlier if isinstance(earlier, dict) else {}
    names = [name for name in now if then.get(name, now[name]) != now[name]]
    changed = [f"{name} {quoted(then[name])}, now {now[name]!r}" for name in names]
    if changed:
        line = f"{folder}: begun with {', '.join(changed)}; its stages come from both"
        warnings.warn(line, stacklevel=1)


def _what(manifest: Mapping[str, Any]) -> str:
    question = manifest["question"]
    keys = (key for key in ("model", "adapter", "trigger") if key in question)
    named = (f"{key}={question[key]}" for key in keys)
    return one_line(" ".join([manifest["kind"], *named]), 200)
