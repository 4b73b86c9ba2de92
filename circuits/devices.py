"""Where a model runs and in which precision, by the words that a user says."""

import torch

from circuits.errors import UserError, expect

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str) -> str:
    """``auto`` becomes cuda, mps or cpu, whichever is there.

    Raises:
        UserError: a device that is not there; lists those that are.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cuda"] * bool(count) + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if device == "auto":
        return there[0]
    every = [*there, *(f"cuda:{i}" for i in range(count))]
    expect(device in every, f"auto, {', '.join(every)}", repr(device), of="device")
    return device


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
