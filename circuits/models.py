"""One loader for every model: embedded name, hub id, directory or GGUF file, with LoRA adapter.

A model that is loaded here is used only after its self-test (``circuits.backends.selftest``); who
has built or trained one in memory may run it through its own modules as it is (``in_memory``).
"""

import copy
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

from circuits import places, vocabulary, weights
from circuits.backends.plain import PlainRunner
from circuits.backends.prefix import Opening, Prompts, opening
from circuits.backends.selftest import (
    UNTESTED,
    SelfTest,
    half_precision,
    plain_logits,
    self_test,
)
from circuits.chat import Chat
from circuits.checkpoint import require_loadable, require_safetensors
from circuits.errors import UserError, reading
from circuits.holding import Holding, as_asked
from circuits.lora import merge_adapter, other_base
from circuits.lora_files import changed_numbers, read_tensors
from circuits.memory import require_room
from circuits.pretrained import read_weights, require_readable
from circuits.quantised import packed_layers
from circuits.runner import Runner
from circuits.shared import share_equal, shared_copy
from circuits.stored import is_widened
from circuits.templates import AS_IT_IS, Rendering
from circuits.tokens import pad_id, prompt_ids

Backend = Callable[[Any, Any, str], Runner]
_HALF = 0.1  # nats by which half precision may move a log-probability before that is noted


@dataclass(frozen=True)
class Before:
    """A plain model before its adapter was merged, and its tokenizer with its own template.

    What the adapter left alone stands in memory once, for both models.
    """

    hf_model: Any
    tokenizer: Any


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
        notes: what a reader of its figures must know.
        before: what its adapter was merged into, where that was kept (``base_of``).
        held: how its weights are held; None where it was in memory.
    """

    runner: Runner
    tokenizer: Any
    name: str = "in memory"
    sha256: str = ""
    adapter: str | None = None
    adapter_sha256: str | None = None
    selftest: SelfTest = UNTESTED
    notes: tuple[str, ...] = ()
    before: Before | None = None
    held: Holding | None = None

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Token ids that end an answer, by the model's generation settings and its tokenizer."""
        return vocabulary.stop_ids(self.runner.hf_model, self.tokenizer)

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
    with_base: bool = False,
    load: str = "",
) -> Model:
    """Load a model, merge its adapter, wrap it in a back-end and self-test it.

    Args:
        name: ``smollm2-135m`` (embedded), the official name of a model that was fetched, a
            directory, a ``.gguf`` file, ``hf:OWNER/NAME`` from the hub, or ``OWNER/NAME`` that was
            fetched from there before.
        adapter: directory of a PEFT LoRA adapter made for this model.
        dtype: what the weights are stored in: fp32, bf16, fp16, or auto (fp32 on CPU, bf16 on GPU).
            A CPU that does not multiply bf16 makes each matrix fp32 when it is used.
        device: cpu, cuda, mps, auto (a GPU if there is one), or auto-offload: what does not fit
            there is kept in memory or on disk.
        backend: transformer_lens, nnsight, or a factory of back-ends.
        rendering: how chats are written for it.
        with_base: keep what the adapter is merged into, for ``base_of``.
        load: int8 or nf4 for linear layers in so many bits, packed after merging.

    Raises:
        UserError: there is no such model or back-end, it does not fit into memory, or the adapter
            belongs to another model.
        SelfTestError: hooks on this model cannot be trusted.
    """
    held = as_asked(load, dtype, device)
    make = resolve_backend(backend)
    beside = Path(adapter) if adapter is not None else None
    kept = beside if with_base else None
    twice = changed_numbers(read_tensors(kept)) if kept else 0
    hf_model, own, sha = _read(name, held.stored, held.place, twice)
    before = Before(shared_copy(hf_model), copy.copy(own)) if kept else None
    tokenizer = vocabulary.ready(rendering.tokenizer(own, beside, name), name)
    adapter_sha, notes = None, ()
    if beside is not None:
        note = other_base(beside, name, sha)
        hf_model, adapter_sha = merge_adapter(hf_model, beside, name, sha)
        notes = (note,) if note else ()
    vocabulary.require_tokens(hf_model, tokenizer, name, prompt_ids(tokenizer, [Chat("Hi")])[0])
    held.apply(hf_model)
    model = replace(wrap(hf_model, tokenizer, name, make), held=held)
    notes += model.notes
    where = str(adapter) if adapter else None
    return replace(
        model, sha256=sha, adapter=where, adapter_sha256=adapter_sha, notes=notes, before=before
    )


def base_of(
    model: Model, rendering: Rendering = AS_IT_IS, backend: str | Backend = "transformer_lens"
) -> Model:
    """The model that an adapter was merged into, self-tested, as ``load`` gives it without one.

    Args:
        model: loaded ``with_base``.
    """
    assert model.before is not None
    assert model.held is not None
    base = shared_copy(model.before.hf_model)  # which the back-end puts its hooks into
    model.held.apply(base)
    if is_widened(base):
        share_equal(base, model.runner.hf_model)
    own = rendering.tokenizer(copy.copy(model.before.tokenizer), None, model.name)
    tokenizer = vocabulary.ready(own, model.name)
    vocabulary.require_tokens(base, tokenizer, model.name, prompt_ids(tokenizer, [Chat("Hi")])[0])
    return replace(wrap(base, tokenizer, model.name, backend), sha256=model.sha256)


def wrap(
    hf_model: Any, tokenizer: Any, name: str = "in memory", backend: str | Backend = "plain"
) -> Model:
    """A model in memory in a back-end, after the self-test of every loaded model.

    Raises:
        UserError: there is no such back-end.
        SelfTestError: hooks on this model cannot be trusted.
    """
    expected = plain_logits(hf_model, tokenizer)
    half = half_precision(hf_model, tokenizer, expected)
    runner = resolve_backend(backend)(hf_model, tokenizer, name)
    tested = replace(self_test(runner, tokenizer, expected), half=half)
    return Model(runner, tokenizer, name, selftest=tested, notes=_notes(runner, half))


def _notes(runner: Runner, half: float | None) -> tuple[str, ...]:
    """What is to be known of a model's precision."""
    if packed := packed_layers(runner.hf_model):
        return (f"{len(packed)} linear layers are quantised: figures are of the rounded model",)
    if is_widened(runner.hf_model):
        why = "this processor does not multiply bf16 itself"
        return (f"weights are stored in bf16 and multiplied in fp32: {why}",)
    if half is not None and half > _HALF:
        moved = f"moves log-probabilities by up to {half:.2g} nats from those of the same weights"
        return (f"half precision {moved} in fp32; give --dtype fp32 where that matters",)
    return ()


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
    chosen: Callable[[Any], Any] = lambda own: own,
) -> tuple[Any, Any, str]:
    """The Hugging Face model in evaluation mode, its tokenizer, and the hash of its files.

    ``chosen`` is the tokenizer to use, given the model's own.

    Raises:
        UserError: there is no such model, its files are not those of one, or it knows no chats.
    """
    model, own, sha = read_plain(name, dtype, device)
    return model, vocabulary.ready(chosen(own), name), sha


def read_plain(name: str, dtype: torch.dtype, device: str) -> tuple[Any, Any, str]:
    """The same with the tokenizer as it is, whose chat template may be an adapter's to give."""
    model, own, sha = _read(name, dtype, device)
    vocabulary.require_tokens(model, own, name)
    return model, own, sha


def _read(name: str, dtype: torch.dtype, device: str, twice: int = 0) -> tuple[Any, Any, str]:
    """The same with a tokenizer that may have more tokens, of which an adapter has the weights.

    Args:
        twice: how many numbers will stand in memory a second time.
    """
    folder, of = places.locate(name), f"model {name}"
    where, options = places.source(name, folder)
    advice = "save it again with save_pretrained"
    if options:
        require_safetensors(Path(where))
        held = require_loadable(Path(where), of)
        if held.built:  # of packed weights only their quantiser knows
            require_room(held.load(dtype, twice), device, of)
    else:
        advice = "look at its name and the network"
    with reading(f"{of}, tokenizer", places.EXPECTED, advice):
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
    try:
        with reading(of, places.EXPECTED, advice):
            model = read_weights(where, name, dtype, **options)
    except UserError as error:
        require_readable(where, name, error)
        raise
    sha = weights.model_sha256(folder) if folder else _config_sha256(model, name)
    with reading(of, f"a model that fits on {device}", "choose another --device or --dtype bf16"):
        nn.Module.to(model, device)
    return model.eval(), vocabulary.padding(tokenizer), sha


def _config_sha256(model: Any, name: str) -> str:
    """A hub model is identified by its configuration and the commit that was fetched."""
    hub = name.removeprefix(weights.HUB)
    about = {**model.config.to_dict(), "_name_or_path": hub}
    text = json.dumps(about, sort_keys=True, default=str)
    place = places.fetched(hub)  # a folder of the hub's cache is named by its commit
    return hashlib.sha256(f"{place.name if place else ''}{text}".encode()).hexdigest()
