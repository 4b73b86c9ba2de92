"""What the statistics share: checks of their input in one helpful line, blocks and seeds."""

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 2**22  # elements of a [cells, resamples] block: 32 MiB in float64


def rows_of(
    values: Float[Tensor, "*cells n"], name: str, at_least: int = 1
) -> Float[Tensor, "cells n"]:
    """`values` flattened to float64 [cells, n]; ValueError if too few, empty or not finite."""
    if values.ndim < 1 or values.shape[-1] < at_least or values.numel() == 0:
        shape = tuple(values.shape)
        raise ValueError(f"expected {name} [..., n >= {at_least}], got {shape}; add examples")
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise ValueError(f"expected finite {name}, got {bad} NaN or infinite; drop those examples")
    return values.to(torch.float64).reshape(-1, values.shape[-1])


def check_vector(values: Float[Tensor, "n"], name: str) -> None:
    if values.ndim != 1:
        raise ValueError(f"expected {name} [n], got {tuple(values.shape)}; pass one cell at a time")


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"expected a level in (0, 1), got {level}; pass 0.95 for 95 %")


def at_least_one(count: int) -> int:
    if count < 1:
        raise ValueError(f"expected at least 1 resample, got {count}; pass about 2000")
    return count


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
