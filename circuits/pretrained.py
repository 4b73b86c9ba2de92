"""Whole models from files: every weight is read, none is drawn at random, no code comes along.

Transformers fills what a checkpoint lacks with random numbers and leaves out what does not fit,
with a warning at most; here both are refused by name. Only safetensors and GGUF are read: a pickle
(``.bin``) may hold anything.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from circuits.errors import UserError, expect, first_line

# Transformers would ask a server to convert the pickles of a hub model and wait for its answer.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_CONVERT = {
    "model": 'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('{0}').save_pretrained('{0}')\"",
    "adapter": 'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('{0}/adapter_model.bin', weights_only=True), "
    "'{0}/adapter_model.safetensors')\"",
}
_UNWRAP = "save the model itself (not a compiled or sharded wrapper) with save_pretrained"
_SHOWN = 3


def read_weights(where: str | Path, name: str, dtype: torch.dtype, **options: Any) -> Any:
    """The causal language model at a place, with every weight from its files.

    Attention is eager: the patterns exist as tensors, and every back-end computes the same sums.

    Args:
        where: a directory, or a hub id.
        name: what the user called it.
        options: of ``from_pretrained``.

    Raises:
        UserError: weights are missing, of another shape, or do not belong to the model.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        str(where),
        dtype=dtype,
        trust_remote_code=False,
        attn_implementation="eager",
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are in the report then, by name
        output_loading_info=True,
        **options,
    )
    model, report = loaded
    require_all_read(report, len(model.state_dict()), f"model {name}")
    return model


def require_all_read(report: Mapping[str, Any], count: int, of: str) -> None:
    """Refuse a model of which a loading report says that something else than its files is in it.

    Raises:
        UserError: names what is missing, left over, or of another shape.
    """
    shapes = [f"{k} {tuple(a)} for {tuple(b)}" for k, a, b in report["mismatched_keys"]]
    wanted = f"all of its {count} tensors in its files"
    require_same(
        report["missing_keys"],
        report["unexpected_keys"],
        shapes,
        f"{of}: expected {wanted}",
        _UNWRAP,
    )


def require_same(
    missing: Collection[str],
    left_over: Collection[str],
    reshaped: Collection[str],
    expected: str,
    advice: str,
) -> None:
    """Refuse files whose tensors are not, by name and shape, those of what they are read into.

    Raises:
        UserError: some are missing, left over, or of another shape.
    """
    wrong = {
        "missing": missing,
        "that belong nowhere": left_over,
        "of another shape": reshaped,
    }
    got = [f"{len(names)} {what} ({listed(names)})" for what, names in wrong.items() if names]
    if got:
        raise UserError(f"{expected}, got {', '.join(got)}; {advice}")


def require_readable(where: str | Path, name: str, error: Exception) -> None:
    """Say of a model that did not load that it is quantised, if it is.

    Raises:
        UserError: with its quantiser, what it lacks here, and what to do.
    """
    try:
        config = json.loads((Path(where) / "config.json").read_text(encoding="utf-8"))
        quantiser = config["quantization_config"]["quant_method"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    raise UserError(
        f"model {name}: expected weights in fp32, bf16 or fp16, got weights quantised by "
        f"{quantiser} ({first_line(error, 120)}); save it dequantised"
    ) from error


def listed(names: Iterable[str]) -> str:
    """The first few names of many."""
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")


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
        outside = [name for name in _shards(index) if name != Path(name).name]
        expect(not outside, "shards beside their index", listed(outside), of=f"{kind} {index}")


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(
            f"model {index}: expected an index of shards as save_pretrained writes it, got "
            "another file; save the model again"
        ) from error
