"""What the statistics share: checks of their input in one helpful line, seeds, resamples."""

import numpy as np
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


def quantiles(
    block: Float[np.ndarray, "cells m"], shares: tuple[float, ...]
) -> Float[np.ndarray, "shares cells"]:
    """Linearly interpolated quantiles of each row, which is reordered in place.

    By partition, because a full sort of a large grid's resamples takes five times as long.
    """
    last = block.shape[-1] - 1
    places = [(int(share * last), share * last % 1) for share in shares]
    block.partition(sorted({k for at, _ in places for k in (at, min(at + 1, last))}), axis=-1)
    return np.stack([(1 - f) * block[:, at] + f * block[:, min(at + 1, last)] for at, f in places])


def resample_weights(
    rows: Float[Tensor, "cells n"], resamples: int, seed: int
) -> Float[Tensor, "n resamples"]:
    """Each column: the share of one with-replacement resample that each example makes up."""
    n = rows.shape[-1]
    index = torch.randint(n, (n, at_least_one(resamples)), generator=generator(seed))
    shares = torch.full(index.shape, 1 / n, dtype=torch.float64)
    return torch.zeros_like(shares).scatter_add_(0, index, shares).to(rows.device)
