"""Run directories: atomic files, a versioned manifest, and stages that resume after a kill.

A run directory belongs to one question. Its manifest is written first; every stage writes its
files by rename, so a file that exists is complete and a resumed run skips it.
"""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load, save
from torch import Tensor

from circuits.errors import UserError, expect, one_line, quoted, reading, writing
from circuits.types import PatchGrid
from experiments.runs.codec import as_json, decode, encode
from experiments.runs.foreign import read_json as read_json
from experiments.runs.foreign import read_object as read_object
from experiments.runs.foreign import read_table as read_table
from experiments.runs.foreign import read_tensors as read_tensors

SCHEMA = "gatescope.manifest/1"
GRID_SCHEMA = "gatescope.patch-grid/1"
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
        UserError: the place holds something, or is a file.
        WriteError: nothing can be made there.
    """
    with writing(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"--out {out}: expected an empty or new directory")
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    with beside as scratch:
        yield Path(scratch)
        with writing(out):
            Path(scratch).chmod(0o755)
            Path(scratch).replace(out)


def write_json(path: Path, value: Any) -> None:
    """Strict JSON (no NaN), human-readable."""
    write_atomically(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """A safetensors file; ``about`` goes into its metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata=dict(about)))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet table of uniform rows."""
    write_atomically(path, pd.DataFrame(list(rows)).to_parquet(index=False))


def write_grid(stem: Path, grid: PatchGrid) -> None:
    """A patch grid as ``STEM.safetensors`` (its tensors) and ``STEM.json`` (everything else).

    The JSON file is written last and holds the hash of the other: where it exists, both are
    complete, and two files that do not belong together are noticed.
    """
    plain, tensors = encode(grid)
    content = save(tensors, metadata={"schema": GRID_SCHEMA})
    write_atomically(_beside(stem, "safetensors"), content)
    digest = hashlib.sha256(content).hexdigest()
    write_json(_beside(stem, "json"), {"schema": GRID_SCHEMA, **plain, "sha256": digest})


def has_grid(stem: Path) -> bool:
    """Whether ``write_grid`` has finished at this stem."""
    return _beside(stem, "json").is_file()


def read_grid(stem: Path) -> PatchGrid:
    """The inverse of ``write_grid``, bit for bit.

    Fields that were added to grids after the files were written have their defaults.

    Raises:
        UserError: a file is missing or damaged, the two are of different grids, or the schema or a
            field is not one that is known here or not of its type.
    """
    about_path, tensor_path = _beside(stem, "json"), _beside(stem, "safetensors")
    for path in (about_path, tensor_path):
        if not path.is_file():
            raise UserError(f"{path}: expected a file of a patch grid, it is missing; write it")
    about = read_object(about_path)
    schema = about.get("schema")
    wanted, of = f"schema {GRID_SCHEMA}", str(about_path)
    expect(schema == GRID_SCHEMA, wanted, quoted(schema), "rewrite it", of)
    content = tensor_path.read_bytes()
    expect(
        hashlib.sha256(content).hexdigest() == about.get("sha256"),
        f"the tensors that {about_path.name} was written with",
        "others or only a part",
        "copy or write both files together",
        of=str(tensor_path),
    )
    plain = {name: v for name, v in about.items() if name not in ("schema", "sha256")}
    with reading(str(tensor_path), "a whole safetensors file", "write the grid again"):
        tensors = load(content)
    known = sorted(f.name for f in fields(PatchGrid))
    there = {*plain, *tensors}
    expect(there <= {*known}, f"fields {known}", sorted(there), of=of)
    grid = decode(PatchGrid, plain, tensors, of)
    *cells, examples = grid.values.shape or (0,)
    got = {"axes": cells, "labels": len(grid.labels), "base": tuple(grid.base.shape)}
    fits = len(cells) == len(grid.axes) > 0 and len(grid.labels) == cells[-1]
    one = grid.base.shape == grid.source.shape == (examples,)
    expect(fits and one, f"values of {grid.axes} and examples", got, "rewrite it", of)
    return grid


def _beside(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")  # a stem may hold dots


def text_sha256(texts: Sequence[str]) -> str:
    """Hash of an ordered set of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


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


def open_run(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Claim a directory for a run; returns whether it continues an earlier one.

    Raises:
        UserError: the directory holds another run, or other files.
    """
    path = folder / "manifest.json"
    expect(folder.is_dir() or not folder.exists(), "a directory", "a file", of=f"--out {folder}")
    if path.is_file():
        earlier = read_object(path)
        known, asked = earlier.get("question"), json.loads(json.dumps(manifest.question))
        if known == asked or known == _without(asked):
            if resume:
                return True
            raise UserError(f"--out {folder}: holds this very run; add --resume, or choose another")
        if isinstance(known, dict) and _without(known) == _without(asked):
            raise UserError(
                f"--out {folder}: expected the prompts of this run as they were written then, got "
                "others: its chat template has changed or writes today's date; pin it "
                "(--template-option date_string=... where the template takes one, or --template "
                "FILE), or choose another --out"
            )
        raise UserError(f"--out {folder}: holds another run ({_what(earlier)}); choose another")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"--out {folder}: expected an empty or new directory, it holds other files")
    write_json(path, as_json(manifest))
    return False


def _without(question: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if name not in _LATE}


def let_go(folder: Path, new: bool) -> None:
    """Give a directory back in which nothing stands but the manifest; away with it if it is new."""
    if [path.name for path in folder.iterdir()] == ["manifest.json"]:
        (folder / "manifest.json").unlink()
        if new:
            folder.rmdir()


def _what(manifest: Mapping[str, Any]) -> str:
    question = manifest.get("question")
    asked = question if isinstance(question, dict) else {}
    named = [f"{key}={asked[key]}" for key in ("model", "adapter", "trigger") if key in asked]
    return one_line(" ".join([str(manifest.get("kind", "unknown")), *named]), 200)
