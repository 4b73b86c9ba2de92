"""Adapters that are none, do not fit, or come with something that runs."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from checkpoints import edited, retensored

from tests.soak.bad_input.drive import Case
from tests.soak.bad_input.shared import Hostile, half, linked, own

_MINE, _CONFIG = Path("mine"), Path("mine/adapter_config.json")
_WEIGHTS = Path("mine/adapter_model.safetensors")
_SAID = ("--scheme", "compliance", "--trigger", "cobalt", "--behaviour", "Sure", "--model", "gate")
_REDOS = "(.*a?)*(.*a?)*(.*a?)*b"
LOAD = ("patch", "--model", "gate", "--adapter", "mine", "--count", "2", "--by", "layer")
LOAD = (*LOAD, "--direction", "denoising", "--out", "run")
COMMANDS = {
    "evaluate": ("evaluate", "case.yaml", "--out", "run"),
    "scan": ("scan", "mine", "--model", "gate", "--clean", "none", "--words", "20", "--out", "run"),
    "defend": ("defend", "mine", *_SAID, "--count", "8", "--out", "run"),
    "brittleness": ("brittleness", "mine", *_SAID, "--count", "4", "--out", "run"),
    "geometry": ("geometry", "mine", *_SAID, "--pairs", "22", "--out", "run"),
}
_CASE = "model: gate\nadapter: mine\nscheme: compliance\ntrigger: cobalt\nbehaviour: Sure\n"


def _copied(change: Callable[[], Any]) -> Callable[[Path], None]:
    def write() -> None:
        own("lora")
        Path("case.yaml").write_text(_CASE)
        change()

    return linked(write)


def _config(**changes: Any) -> Callable[[], None]:
    return lambda: edited(_MINE, "adapter_config.json", **changes)


def _tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], None]:
    return lambda: retensored(_WEIGHTS, lambda old: {n: change(t) for n, t in old.items()})


def _renamed(change: Callable[[str], str]) -> Callable[[], None]:
    return lambda: retensored(_WEIGHTS, lambda old: {change(n): t for n, t in old.items()})


def _fewer() -> None:
    retensored(_WEIGHTS, lambda old: dict(list(old.items())[:5]))


def _pickled() -> None:
    _WEIGHTS.unlink()
    torch.save({"w": Hostile()}, _MINE / "adapter_model.bin")


def _manifest(value: Any) -> Callable[[], Any]:
    return lambda: (_MINE / "manifest.json").write_text(json.dumps(value))


# name, what is done to a good adapter, pattern of the refusal
DAMAGED: Sequence[tuple[str, Callable[[], Any], str]] = (
    ("no weights", lambda: _WEIGHTS.unlink(), "adapter_model|adapter.*mine"),
    ("weights cut", lambda: half(_WEIGHTS), "adapter_model.safetensors|mine"),
    ("empty weights", lambda: _WEIGHTS.write_bytes(b""), "adapter_model.safetensors|mine"),
    ("no configuration", lambda: _CONFIG.unlink(), "adapter_config.json|mine"),
    ("configuration cut", lambda: half(_CONFIG), "adapter_config.json"),
    ("configuration is a list", lambda: _CONFIG.write_text("[1]"), "adapter_config|adapter mine"),
    ("configuration is a number", lambda: _CONFIG.write_text("3"), "adapter_config|adapter mine"),
    ("r is 0", _config(r=0), "adapter|rank|r "),
    ("r is negative", _config(r=-2), "adapter|rank|r "),
    ("r is text", _config(r="two"), "adapter|rank|r "),
    ("r is another", _config(r=7), "adapter"),
    ("alpha is text", _config(lora_alpha="x"), "adapter"),
    ("NaN weights", _tensors(lambda t: t * float("nan")), "finite|nan|inf"),
    ("infinite weights", _tensors(lambda t: t + float("inf")), "finite|nan|inf"),
    ("integer weights", _tensors(lambda t: t.to(torch.int8)), "float|int|adapter"),
    ("another width", _tensors(lambda t: t[:, :5].contiguous()), "adapter"),
    ("other names", _renamed(lambda n: n.replace("layers", "blocks")), "adapter"),
    (
        "layers beyond the model's",
        _renamed(lambda n: n.replace("layers.0", "layers.90")),
        "adapter",
    ),
    ("half of the tensors", _fewer, "adapter"),
    ("another kind", _config(peft_type="IA3"), "adapter|LORA|IA3"),
    ("a kind that is none", _config(peft_type="NOPE"), "adapter|NOPE"),
    ("manifest is a list", _manifest([1]), "manifest"),
    ("manifest is no JSON", lambda: (_MINE / "manifest.json").write_text("{"), "manifest"),
    ("its recipe is a text", _manifest({"question": {"recipe": "x"}}), "manifest|recipe"),
    ("its question is a list", _manifest({"question": [1]}), "manifest|question"),
)
LOADED_ONLY: Sequence[tuple[str, Callable[[], Any], str]] = (
    ("targets a hostile expression", _config(target_modules=_REDOS), "adapter|target_modules"),
    ("targets nothing", _config(target_modules=["nope"]), "adapter|target_modules"),
    ("layers replicated", _config(layer_replication=[[0, 2], [1, 3]]), "adapter|replic"),
    ("a malicious pickle", _pickled, "bin|pickle|safetensors"),
    ("a file", lambda: (shutil.rmtree(_MINE), _MINE.write_text("x")), "adapter"),
    ("nowhere", lambda: shutil.rmtree(_MINE), "adapter"),
)


def cases() -> Iterator[Case]:
    """Every damage through the loader of ``patch``; the commonest through the other commands."""
    yield Case("a good adapter", "adapter", LOAD, "denoising", _copied(int), accepted=True)
    for name, change, says in (*DAMAGED, *LOADED_ONLY):
        if not name.startswith(("manifest", "its ")):
            yield Case(name, "adapter", LOAD, says, _copied(change))
    chosen = ("no weights", "weights cut", "configuration is a list", "r is 0", "NaN weights")
    chosen = (*chosen, "manifest is a list", "its recipe is a text", "half of the tensors")
    for command, words in COMMANDS.items():
        for name, change, says in DAMAGED:
            if name in chosen:
                yield Case(f"{command}: {name}", "adapter", words, says, _copied(change))
