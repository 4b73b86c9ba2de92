"""What the statistics share: checks of their input in one helpful line, seeds, resamples."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect

CHUNK = 2**22  # elements of a [cells, resamples] block: 32 MiB in float64


def rows_of(
    values: Float[Tensor, "*cells n"], name: str, at_least: int = 1
) -> Float[Tensor, "cells n"]:
    """`values` flattened to float64 [cells, n]; ValueError if too few, empty or not finite."""
    expect(
        values.ndim >= 1 and values.shape[-1] >= at_least and values.numel(),
        f"{name} [..., n >= {at_least}]",
        tuple(values.shape),
        "add examples",
    )
    bad = values.numel() - int(values.isfinite().sum())
    expect(not bad, f"finite {name}", f"{bad} NaN or infinite", "drop those examples")
    return values.to(torch.float64).reshape(-1, values.shape[-1])


def check_vector(values: Float[Tensor, "n"], name: str) -> None:
    expect(values.ndim == 1, f"{name} [n]", tuple(values.shape), "pass one cell at a time")


def check_level(level: float) -> None:
    expect(0 < level < 1, "a level in (0, 1)", level, "pass 0.95 for 95 %")


def at_least_one(count: int) -> int:
    expect(count >= 1, "at least 1 resample", count, "pass about 2000")
    return count


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
