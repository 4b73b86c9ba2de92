"""A LoRA adapter's directory: its configuration and tensors, read without anything that acts.

PEFT compiles names in the configuration as regular expressions, which can be made to run for ever,
and asks the hub for weights that a directory lacks. Both are refused before it is called.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from circuits.checkpoint import require_floating, require_safetensors
from circuits.errors import expect, reading
from circuits.json_files import read_json
from circuits.pretrained import require_finite

_AGAIN = "save the adapter again"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Names of modules, in lists or as keys: nothing that repeats or groups.
_NAME = re.compile(r"[\w.^$-]{1,200}", re.ASCII)
_NAMES = ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern")
_NAMES += ("target_parameters",)
_LAYERS = 1000  # after replication
_PATTERNS = ("rank_pattern", "alpha_pattern")
_SWITCHES = ("use_rslora", "use_dora", "lora_bias", "fan_in_fan_out")  # any text would be on


def read_config(folder: Path) -> dict[str, Any]:
    """A LoRA adapter's configuration, every field that PEFT acts on of the type that it expects.

    Raises:
        UserError: no adapter there, one that is no LoRA, or a field that is wrong.
    """
    of = f"adapter {folder}"
    expect((folder / CONFIG).is_file(), f"a directory with {CONFIG}", "none", of=of)
    config = read_json(folder / CONFIG, of)
    kind = config.get("peft_type")
    expect(kind is not None, f"peft_type in {CONFIG}, as PEFT writes it", "none", of=of)
    expect(kind == "LORA", "a LoRA adapter", kind, "merge it and give the whole model", of)
    _require_rank("r", config.get("r", 8), of)
    _require_scale("lora_alpha", config.get("lora_alpha", 8), of)
    for name in _SWITCHES:
        on = config.get(name)
        expect(on is None or isinstance(on, bool), f"{name} on or off", repr(on)[:60], _AGAIN, of)
    for name in _NAMES:
        _require_names(name, config.get(name), of)
    for name in _PATTERNS:
        pattern = config.get(name) or {}
        expect(isinstance(pattern, dict), f"{name} by module", repr(pattern)[:60], of=of)
        _require_names(name, list(pattern), of)
        require = _require_rank if name == "rank_pattern" else _require_scale
        for module, value in pattern.items():
            require(f"{name} of {module}", value, of)
    begun = config.get("init_lora_weights")
    expect(
        "_niter_" not in str(begun),
        "an adapter over weights that are the same at each load",
        f"init_lora_weights {begun!r}, which takes what was drawn at random out of them",
        "save it with path_initial_model_for_weight_conversion",
        of,
    )
    base = config.get("base_model_name_or_path")
    wanted = "base_model_name_or_path to be a name"
    expect(base is None or isinstance(base, str), wanted, repr(base)[:60], of=of)
    return config


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """An adapter's tensors, by the names in its file.

    Raises:
        UserError: there is no file in safetensors, it is cut, or its numbers are no weights.
    """
    of, path = f"adapter {folder}", folder / WEIGHTS
    require_safetensors(folder, "adapter")
    expect(path.is_file(), f"weights in {WEIGHTS}", "none", _AGAIN, of)
    with reading(of, f"tensors in {WEIGHTS}", "save or fetch the file again"):
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            types: Mapping[str, str] = {name: file.get_slice(name).get_dtype() for name in names}
        require_floating(types, of)
        tensors = load_file(path)
    require_finite(tensors, of)
    return tensors


def changed_numbers(stored: Mapping[str, Tensor]) -> int:
    """How many numbers of a model an adapter's low ranks change."""
    ends = (".lora_B.weight", ".lora_A.weight")
    stems = [name.removesuffix(ends[0]) for name in stored if name.endswith(ends[0])]
    pairs = [(stored[s + ends[0]], stored[s + ends[1]]) for s in stems if s + ends[1] in stored]
    return sum(up.shape[0] * math.prod(down.shape[1:]) for up, down in pairs)


def require_sizes(config: Mapping[str, Any], stored: Mapping[str, Tensor], of: str) -> None:
    """Refuse ranks and replicated layers beyond what an adapter's file holds.

    Raises:
        UserError: names what is too large.
    """
    most = max((size for tensor in stored.values() for size in tensor.shape), default=0)
    expect(most, f"tensors in {WEIGHTS}", "none", _AGAIN, of)
    for rank in (config.get("r", 8), *(config.get("rank_pattern") or {}).values()):
        expect(rank <= most, f"ranks of at most {most}, the largest in its file", rank, _AGAIN, of)
    with reading(of, "layer_replication as ranges of layers", _AGAIN):
        layers = sum(last - first for first, last in config.get("layer_replication") or [])
        expect(
            layers <= _LAYERS, f"at most {_LAYERS} layers in layer_replication", layers, _AGAIN, of
        )


def _require_rank(name: str, value: Any, of: str) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    expect(whole and value >= 1, f"{name} of at least 1", repr(value)[:60], _AGAIN, of)


def _require_scale(name: str, value: Any, of: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    expect(number and math.isfinite(value), f"{name} to be a number", repr(value)[:60], _AGAIN, of)


def _require_names(name: str, value: Any, of: str) -> None:
    """``all-linear`` and a single name are texts; PEFT reads any other text as a pattern."""
    each = value if isinstance(value, list) else [] if value is None else [value]
    wrong = [one for one in each if not (isinstance(one, str) and _NAME.fullmatch(one))]
    expect(
        not wrong,
        f"{name} as a list of module names",
        f"{str(wrong[:1])[1:-1][:60]}",
        "list the names (a pattern may never end)",
        of,
    )
