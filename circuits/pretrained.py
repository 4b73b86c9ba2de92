"""Whole models from files: every weight is read, none is drawn at random, no code comes along.

Transformers fills what a checkpoint lacks with random numbers and leaves out what does not fit,
with a warning at most; here both are refused by name. Only safetensors and GGUF are read: a pickle
(``.bin``) may hold anything.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from circuits.errors import UserError, first_line, listed

# Transformers would ask a server to convert the pickles of a hub model and wait for its answer.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"

_UNWRAP = "save the model itself (not a compiled or sharded wrapper) with save_pretrained"


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
    require_finite(dict(model.named_parameters()), f"model {name}")
    return model


def require_finite(tensors: Mapping[str, Tensor], of: str) -> None:
    """Refuse weights that are no numbers, or left the range of their precision.

    Raises:
        UserError: names the first few tensors.
    """
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not _is_finite(t)]
    if broken:
        first = tensors[min(broken)]
        what = "NaN" if bool(first.isnan().any()) else "inf"
        half = first.dtype == torch.float16
        raise UserError(
            f"{of}: expected finite weights, got {what} in {listed(broken)} "
            f"({str(first.dtype).removeprefix('torch.')}); "
            + ("use --dtype fp32 or bf16, whose range is wider" if half else "fetch or train again")
        )


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


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
