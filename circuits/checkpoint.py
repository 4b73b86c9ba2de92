"""What a model's files say of it, looked at before anything is built from them.

A configuration can claim anything: a million layers are a million objects, a vocabulary of 10^12
rows is drawn at random before anybody compares it with the file. So its sizes are bounded by what
the headers of the weights hold, which costs no more than reading these headers.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from circuits.errors import UserError, expect, listed, reading
from circuits.json_files import read_json
from circuits.memory import Load

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
FLOATS = ("F64", "F32", "F16", "BF16")
_STORED = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_CONVERT = {
    "model": 'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('{0}').save_pretrained('{0}')\"",
    "adapter": 'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('{0}/adapter_model.bin', weights_only=True), "
    "'{0}/adapter_model.safetensors')\"",
}
_SPARE = 100_000_000  # numbers that may be drawn besides those in the files before they are refused

# Sizes that decide how much is built, with the largest that is taken for one. The exact comparison
# is of tensors, by name and shape, once the model is there.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_MOST: Mapping[str, int] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "vocab_size"), 10**7),
    **dict.fromkeys(("num_attention_heads", "n_head"), 10**5),
    **dict.fromkeys(("num_key_value_heads", "head_dim", "intermediate_size", "n_inner"), 10**7),
    **dict.fromkeys(("moe_intermediate_size", "ffn_dim", "d_ff"), 10**7),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4096),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "sliding_window"), 2**26),
}
_AT_LEAST_1 = {"hidden_size", "n_embd", "d_model", "vocab_size", "num_attention_heads", "n_head"}


@dataclass(frozen=True)
class Tensors:
    """The tensors in a model's files, by their headers: shapes and types by name.

    ``built``: how many numbers a model of the configuration has, tied ones once; 0 where that is
    not known.
    """

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    built: int = 0

    @property
    def numbers(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes.values())

    def load(self, dtype: torch.dtype, twice: int = 0) -> Load:
        """What reading them in a precision takes; ``twice`` as in :class:`Load`."""
        same = set(self.types.values()) == {_STORED.get(dtype)}
        return Load(self.built, dtype, twice, mapped=same)


def require_loadable(folder: Path, of: str, kind: Any = AutoModelForCausalLM) -> Tensors:
    """Refuse a directory whose configuration and weights cannot be those of one model.

    Returns what its files hold.

    Args:
        of: how messages begin, such as ``model a/b``.
        kind: transformers' class that builds the model.

    Raises:
        UserError: no configuration, one that claims sizes beyond the files', weights that are no
            floating point numbers or lie outside, or an adapter in the same directory.
    """
    path = folder / "config.json"
    expect(path.is_file(), "a directory with config.json", "none", of=of)
    config = read_json(path, of)
    expect(
        not (folder / "adapter_config.json").is_file(),
        "a whole model alone in its directory",
        "adapter_config.json beside it",
        "move the adapter to a directory of its own and name it with --adapter",
        of,
    )
    model_type = config.get("model_type")
    expect(
        isinstance(model_type, str) and model_type in CONFIG_MAPPING,
        f"a model_type in config.json that transformers {transformers.__version__} knows",
        repr(model_type)[:60],
        "code that comes along is not run; save the model as one of those",
        of,
    )
    expect(
        config.get("transformers_weights") in (None, WEIGHTS),
        f"weights in {WEIGHTS}",
        f"config.json naming {str(config.get('transformers_weights'))[:80]!r}",
        f"call that file {WEIGHTS}",
        of,
    )
    tensors = stored(folder, of)
    with reading(of, "a configuration", "save it again"):
        require_sizes(config, len(tensors.shapes), of)
    if "quantization_config" in config:  # its tensors are packed, which its quantiser tells
        return tensors
    return replace(tensors, built=_require_fitting(folder, tensors, of, kind))


def require_sizes(config: Mapping[str, Any], tensors: int, of: str) -> None:
    """Refuse sizes that no model has whose files hold so many tensors, in nested parts too.

    Raises:
        UserError: names the size.
    """
    for name, value in config.items():
        if isinstance(value, Mapping):
            require_sizes(value, tensors, of)
        most = tensors if name in _LAYERS else _MOST.get(name)
        if most is None or value is None or isinstance(value, list):
            continue
        least = 1 if name in _AT_LEAST_1 or name in _LAYERS else -1
        held = f" ({tensors} tensors are in its files)" if name in _LAYERS else ""
        expect(
            isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
            f"{name} from {max(least, 0)} to {most} in its configuration{held}",
            repr(value)[:40],
            "take the configuration that was saved with these weights",
            of,
        )


def stored(folder: Path, of: str) -> Tensors:
    """The tensors in a directory's safetensors.

    Raises:
        UserError: there are none, or files that are cut or none of the kind.
    """
    files = [WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(_shards(folder / INDEX, of))
    shapes: dict[str, tuple[int, ...]] = {}
    types: dict[str, str] = {}
    for name in files:
        with (
            reading(of, f"tensors in {name}", "save or fetch the file again"),
            safe_open(folder / name, "pt") as file,
        ):
            for key in file.keys():  # noqa: SIM118 (it is no dictionary)
                part = file.get_slice(key)
                shapes[key], types[key] = tuple(part.get_shape()), part.get_dtype()
    return Tensors(shapes, types)


def require_floating(types: Mapping[str, str], of: str) -> None:
    """Refuse weights of whole numbers or bytes, which would be taken for what they are not.

    Args:
        types: of safetensors, by the tensors' names.

    Raises:
        UserError: names the first few.
    """
    other = {name: kind for name, kind in types.items() if kind not in FLOATS}
    expect(
        not other,
        "weights in fp32, bf16 or fp16",
        f"{len(other)} of another type ({listed(f'{n} {k}' for n, k in other.items())})",
        "save it dequantised",
        of,
    )


def _require_fitting(folder: Path, tensors: Tensors, of: str, kind: Any) -> int:
    """Compare with a model of the configuration that has shapes only; how many numbers it has."""
    with reading(of, "config.json of such a model", "take the one saved with the model"):
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
        with torch.device("meta"):
            model = kind.from_config(config, attn_implementation="eager", trust_remote_code=False)
    parameters = dict(model.named_parameters())
    claimed = sum(parameter.numel() for parameter in parameters.values())
    expect(
        claimed <= 4 * tensors.numbers + _SPARE,
        f"a configuration of the {tensors.numbers} numbers in its files",
        f"one of {claimed}",
        "take the configuration that was saved with these weights",
        of,
    )
    # Masks and positions that old versions saved are no weights.
    other = {name: kind for name, kind in tensors.types.items() if kind not in FLOATS}
    require_floating({n: kind for n, kind in other.items() if _is_one_of(n, parameters)}, of)
    return claimed


def _is_one_of(name: str, parameters: Collection[str]) -> bool:
    """Whether a stored tensor is a parameter, one of them perhaps with a prefix more."""
    return name in parameters or any(
        parameter.endswith(f".{name}") or name.endswith(f".{parameter}") for parameter in parameters
    )


def require_safetensors(folder: Path, kind: str = "model") -> None:
    """Refuse a directory whose weights are pickles only, or lie outside of it.

    Args:
        kind: model or adapter.

    Raises:
        UserError: with the command that converts them.
    """
    files = [path.name for path in folder.iterdir()]
    pickles = [name for name in files if name.endswith(PICKLES) and "model" in name]
    if pickles and not any(name.endswith(".safetensors") for name in files):
        raise UserError(
            f"{kind} {folder}: expected weights in safetensors, got {listed(pickles)}, which can "
            f"run code when read; convert what you trust: {_CONVERT[kind].format(folder)}"
        )
    for index in folder.glob("*.safetensors.index.json"):
        of = f"{kind} {index}"
        beside = "shards in safetensors beside their index"
        wrong = [name for name in _shards(index, of) if not _is_shard(name)]
        expect(not wrong, beside, listed(wrong), "save the model again", of)


def _is_shard(name: str) -> bool:
    plain = name == Path(name).name and not name.startswith(".")
    return plain and name.endswith(".safetensors")


def _shards(index: Path, of: str) -> set[str]:
    expect(index.is_file(), f"{WEIGHTS} or {INDEX}", "neither", "save the model again", of)
    names = read_json(index, of).get("weight_map")
    given = isinstance(names, dict) and names and all(isinstance(n, str) for n in names.values())
    expect(
        given,
        "an index of shards as save_pretrained writes it",
        "another file",
        "save the model again",
        of,
    )
    return set(names.values()) if isinstance(names, dict) else set()
