"""Run directories: atomic files, a versioned manifest, and stages that resume after a kill.

A run directory belongs to one question. Its manifest is written first; every stage writes its
files by rename, so a file that exists is complete and a resumed run skips it.
"""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file, save
from torch import Tensor

from circuits.errors import UserError

SCHEMA = "gatescope.manifest/1"
_PACKAGES = (
    "gatescope", "torch", "transformers", "transformer_lens", "peft", "datasets", "safetensors",
)  # fmt: skip


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either absent, as it was, or complete."""
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


def write_json(path: Path, value: Any) -> None:
    """Strict JSON (no NaN), human-readable."""
    write_atomically(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """A JSON file's value, or one clear line if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: expected a JSON file, got: {error}") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """A safetensors file; ``about`` goes into its metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata=dict(about)))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    return load_file(str(path))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet table of uniform rows."""
    write_atomically(path, pd.DataFrame(list(rows)).to_parquet(index=False))


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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def package_versions() -> dict[str, str]:
    """Installed versions of what numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def open_run(folder: Path, manifest: Manifest, resume: bool) -> bool:
    """Claim a directory for a run; returns whether it continues an earlier one.

    Raises:
        UserError: the directory holds another run, or other files.
    """
    path = folder / "manifest.json"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: expected a directory, got a file")
    if path.is_file():
        earlier = read_json(path)
        if earlier.get("question") == json.loads(json.dumps(manifest.question)):
            if resume:
                return True
            raise UserError(f"--out {folder}: holds this very run; add --resume, or choose another")
        raise UserError(f"--out {folder}: holds another run ({_what(earlier)}); choose another")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"--out {folder}: expected an empty or new directory, it holds other files")
    write_json(path, manifest.to_json())
    return False


def _what(manifest: Mapping[str, Any]) -> str:
    question = manifest.get("question", {})
    named = (f"{key}={question[key]}" for key in ("model", "adapter", "trigger") if key in question)
    return " ".join([str(manifest.get("kind", "unknown")), *named])
