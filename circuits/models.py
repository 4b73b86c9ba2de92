"""One loader for every model: embedded name, hub id, directory or GGUF file, with LoRA adapter.

A model that is loaded here is used only after its self-test (``circuits.backends.selftest``); who
has built or trained one in memory may run it through its own modules as it is (``in_memory``).
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer

from circuits import weights
from circuits.backends.plain import PlainRunner
from circuits.backends.prefix import Opening, Prompts, opening
from circuits.backends.selftest import UNTESTED, SelfTest, plain_logits, self_test
from circuits.errors import UserError, first_line
from circuits.lora import merge_adapter
from circuits.pretrained import read_weights, require_readable, require_safetensors
from circuits.runner import Runner
from circuits.templates import AS_IT_IS, Rendering
from circuits.tokens import pad_id, require_chat_template

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Backend = Callable[[Any, Any, str], Runner]


@dataclass(frozen=True)
class Model:
    """A model that can be asked.

    Attributes:
        runner: runs it.
        tokenizer: its fast tokenizer, with chat template.
        name: what the user called it.
        sha256: hash of the base weights' and configuration files; "" where it is not from files.
        adapter: the adapter's directory, if any, and ``adapter_sha256`` its hash.
        selftest: what was checked, with the differences found.
    """

    runner: Runner
    tokenizer: Any
    name: str = "in memory"
    sha256: str = ""
    adapter: str | None = None
    adapter_sha256: str | None = None
    selftest: SelfTest = UNTESTED

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer, by the model's generation settings and its tokenizer."""
        end = getattr(self.runner.hf_model.generation_config, "eos_token_id", None)
        ends = end if isinstance(end, list) else [end, self.tokenizer.eos_token_id]
        return tuple(sorted({int(e) for e in ends if e is not None}))

    def decode(self, ids: torch.Tensor | Sequence[Sequence[int]]) -> list[str]:
        """Answer tokens to text, special tokens left out."""
        return self.tokenizer.batch_decode(ids, skip_special_tokens=True)

    def opening(self, prompts: Prompts, room: int) -> Opening:
        """What the prompts begin with, run once (``circuits.backends.prefix.opening``)."""
        return opening(self.runner, pad_id(self.tokenizer), prompts, room)


def load(
    name: str = weights.EMBEDDED,
    adapter: str | Path | None = None,
    *,
    dtype: str = "auto",
    device: str = "auto",
    backend: str | Backend = "transformer_lens",
    rendering: Rendering = AS_IT_IS,
) -> Model:
    """Load a model, merge its adapter, wrap it in a back-end and self-test it.

    Args:
        name: ``smollm2-135m`` (embedded), a hub id, a directory, or a ``.gguf`` file.
        adapter: directory of a PEFT LoRA adapter made for this model.
        dtype: fp32, bf16, fp16, or auto (fp32 on CPU, bf16 on GPU).
        device: cpu, cuda, mps, or auto (a GPU if there is one).
        backend: transformer_lens, nnsight, or a factory of back-ends.
        rendering: how chats are written for it.

    Raises:
        UserError: there is no such model or back-end, or the adapter belongs to another model.
        SelfTestError: hooks on this model cannot be trusted.
    """
    place = resolve_device(device)
    make = resolve_backend(backend)
    beside = Path(adapter) if adapter is not None else None
    hf_model, tokenizer, sha = load_plain(
        name, resolve_dtype(dtype, place), place, lambda t: rendering.write(t, beside, name)
    )
    adapter_sha = None
    if adapter is not None:
        hf_model, adapter_sha = merge_adapter(hf_model, Path(adapter), name, sha)
    model = wrap(hf_model, tokenizer, name, make)
    where = str(adapter) if adapter else None
    return replace(model, sha256=sha, adapter=where, adapter_sha256=adapter_sha)


def wrap(
    hf_model: Any, tokenizer: Any, name: str = "in memory", backend: str | Backend = "plain"
) -> Model:
    """A model in memory in a back-end, after the self-test of every loaded model.

    Raises:
        UserError: there is no such back-end.
        SelfTestError: hooks on this model cannot be trusted.
    """
    expected = plain_logits(hf_model, tokenizer)
    runner = resolve_backend(backend)(hf_model, tokenizer, name)
    return Model(runner, tokenizer, name, selftest=self_test(runner, tokenizer, expected))


def in_memory(hf_model: Any, tokenizer: Any) -> Model:
    """A model in memory as it is, run through its own modules; costs nothing."""
    return Model(PlainRunner(hf_model), tokenizer)


def _backend(module: str, runner: str) -> Backend:
    """A back-end whose package is imported when it is first used.

    TransformerLens takes seconds to import, which reading runs need not; nnsight patches torch.
    """
    return lambda *given: getattr(import_module(f"circuits.backends.{module}"), runner)(*given)


BACKENDS: Mapping[str, Backend] = {
    "transformer_lens": _backend("transformer_lens", "TLRunner"),
    "nnsight": _backend("nnsight", "NNsightRunner"),
    "plain": PlainRunner,
}


def resolve_backend(backend: str | Backend) -> Backend:
    """The factory of a name.

    Raises:
        UserError: an unknown name.
    """
    if not isinstance(backend, str):
        return backend
    if backend not in BACKENDS:
        raise UserError(f"backend {backend!r}: expected {', '.join(BACKENDS)}")
    return BACKENDS[backend]


def load_plain(
    name: str,
    dtype: torch.dtype,
    device: str,
    write: Callable[[Any], None] = lambda tokenizer: None,
) -> tuple[Any, Any, str]:
    """The Hugging Face model in evaluation mode, its tokenizer, and the hash of its files.

    ``write`` writes into the tokenizer how chats are rendered.

    Raises:
        UserError: there is no such model, or it knows no chats.
    """
    model, tokenizer, sha = read_plain(name, dtype, device)
    write(tokenizer)
    require_chat_template(tokenizer, name)
    return model, tokenizer, sha


def read_plain(name: str, dtype: torch.dtype, device: str) -> tuple[Any, Any, str]:
    """The same with the tokenizer as it is, whose chat template may be an adapter's to give."""
    folder = locate(name)
    where = str(folder or name)
    if folder is not None:
        require_safetensors(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False)
        model = read_weights(where, name, dtype)
    except UserError:
        raise
    except Exception as error:  # whatever transformers, tokenizers or a quantiser have to say
        require_readable(where, name, error)
        raise UserError(
            f"model {name}: expected {weights.EMBEDDED}, a hub id, a model directory or a .gguf "
            f"file; got: {first_line(error)}"
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    sha = weights.directory_sha256(folder) if folder else _config_sha256(model)
    nn.Module.to(model, device)
    return model.eval(), tokenizer, sha


def locate(name: str) -> Path | None:
    """The local directory of a model, or None for a hub id."""
    if name == weights.EMBEDDED:
        return weights.dequantised(weights.embedded_gguf())
    path = Path(name).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"model {name}: no such file")
        return weights.dequantised(path)
    if path.is_dir():
        return path
    if path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise UserError(f"model {name}: no such directory; give a directory, .gguf file or hub id")
    return None


def _config_sha256(model: Any) -> str:
    """A hub model is identified by its configuration and resolved commit."""
    text = json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    commit = getattr(model.config, "_commit_hash", None) or ""
    return hashlib.sha256(f"{commit}{text}".encode()).hexdigest()


def resolve_device(device: str) -> str:
    """``auto`` becomes cuda, mps or cpu, whichever is there."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_dtype(dtype: str, device: str) -> torch.dtype:
    """``auto`` becomes fp32 on a CPU and bf16 on an accelerator.

    Raises:
        UserError: an unknown name.
    """
    if dtype == "auto":
        return torch.float32 if device == "cpu" else torch.bfloat16
    if dtype not in _DTYPES:
        raise UserError(f"dtype {dtype!r}: expected auto, {', '.join(_DTYPES)}")
    return _DTYPES[dtype]
