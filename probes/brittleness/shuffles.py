"""Targets as they would be if the features said nothing, in three senses.

- ``everywhere``: rows exchanged freely. The weakest null: it also breaks the schemes' levels, so a
  feature that differs between schemes by chance beats it more often than it should.
- ``two_level``: the schemes' means exchanged between schemes, what is left exchanged within them.
  It keeps how alike a scheme's rows are, so whole schemes count as what they are, few.
- ``inside``: rows exchanged within their part. The schemes' levels stay, so what is tested is
  whether the features say anything beyond them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.stats.checks import generator


def everywhere(
    target: Float[Tensor, "n"], part: Int[Tensor, "n"], count: int, seed: int
) -> Float[Tensor, "m n"]:
    """Rows exchanged freely; the parts are not looked at."""
    return inside(target, torch.zeros_like(part), count, seed)


def inside(
    target: Float[Tensor, "n"], part: Int[Tensor, "n"], count: int, seed: int
) -> Float[Tensor, "m n"]:
    """Rows exchanged within their part."""
    noise = torch.rand(count, len(target), dtype=torch.float64, generator=generator(seed))
    shuffled = torch.empty(count, len(target), dtype=torch.float64)
    shuffled[:, part.argsort(stable=True)] = target[(part + noise).argsort(-1)]
    return shuffled


def two_level(
    target: Float[Tensor, "n"], part: Int[Tensor, "n"], count: int, seed: int
) -> Float[Tensor, "m n"]:
    """Means exchanged between parts, residuals within."""
    size = torch.bincount(part).to(torch.float64)
    mean = torch.zeros_like(size).index_add_(0, part, target) / size
    noise = torch.rand(count, len(size), generator=generator(seed + 1))
    return inside(target - mean[part], part, count, seed) + mean[noise.argsort(-1)][:, part]
