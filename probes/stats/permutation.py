"""Sign-flip permutation tests and the false discovery rate; arithmetic in float64.

Every function raises ValueError, in one line, on a wrong shape or a non-finite value.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import CHUNK, at_least_one, generator, rows_of

_EXACT_N = 12  # up to 4096 sign patterns are enumerated rather than sampled
_FINENESS = 100  # 1 / q of cells that no pattern reaches


def sign_flip_p(
    effects: Float[Tensor, "*cells n"], permutations: int = 2000, seed: int = 0, tests: int = 0
) -> Float[Tensor, "*cells"]:
    """Two-sided p, per cell, that the effects are symmetric about 0; statistic |mean|.

    All 2^n sign patterns for n <= 12 (Fisher 1935); otherwise sampled ones shared by all
    cells, with p = (k + 1) / (m + 1) (Phipson & Smyth 2010). All-zero effects give p = 1.

    Args:
        tests: among how many p values these will be adjusted. If given, patterns are added for
            the cells that none has reached yet, so that 1 / (m + 1) does not alone decide what can
            be found. A cell stops at its first reached pattern (Besag & Clifford 1991), or when
            all that are left would have q <= 0.01.
    """
    rows = rows_of(effects, "effects")
    n = rows.shape[-1]
    # The slack makes sums that tie on paper tie in floating point.
    bar = rows.sum(-1).abs() - 1e-12 * rows.abs().sum(-1)
    if n <= _EXACT_N:
        bits = (torch.arange(2**n) >> torch.arange(n)[:, None]) & 1
        p = _reached(rows, bar, bits).to(torch.float64) / 2**n
        return p.reshape(effects.shape[:-1])
    source, drawn = generator(seed), at_least_one(permutations)
    counts = _reached(rows, bar, torch.randint(0, 2, (n, drawn), generator=source))
    p = (counts + 1).to(torch.float64) / (drawn + 1)
    open_ = (counts == 0).nonzero().squeeze(-1)
    while len(open_) and drawn < (wanted := math.ceil(_FINENESS * tests / len(open_))):
        more = min(wanted - drawn, max(1, CHUNK // max(n, len(open_))))
        bits = torch.randint(0, 2, (n, more), generator=source)
        counts = _reached(rows[open_], bar[open_], bits)
        drawn += more
        p[open_] = (counts + 1).to(torch.float64) / (drawn + 1)
        open_ = open_[counts == 0]
    return p.reshape(effects.shape[:-1])


def _reached(
    rows: Float[Tensor, "cells n"], bar: Float[Tensor, "cells"], bits: Int[Tensor, "n patterns"]
) -> Int[Tensor, "cells"]:
    """In how many sign patterns (bit 0 flips) the absolute sum of a cell is at least its bar."""
    signs = (2 * bits - 1).to(rows)
    step = max(1, CHUNK // signs.shape[-1])
    pairs = zip(rows.split(step), bar.split(step), strict=True)
    return torch.cat([((part @ signs).abs() >= b[:, None]).sum(-1) for part, b in pairs])


def benjamini_hochberg(p: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """Adjusted p values q over all finite cells; NaN stays NaN (Benjamini & Hochberg 1995)."""
    flat = p.to(torch.float64).flatten()
    kept = ~flat.isnan()
    expect(
        ((flat[kept] >= 0) & (flat[kept] <= 1)).all(),
        "p values in [0, 1] or NaN",
        "one outside",
        "pass p, not scores",
    )
    ordered, order = flat[kept].sort(descending=True)
    m = len(ordered)
    ranks = torch.arange(m, 0, -1, dtype=torch.float64, device=flat.device)
    adjusted = ordered * m / ranks
    if m:
        adjusted = adjusted.cummin(0).values
    q = flat.clone()
    q[kept.nonzero().squeeze(-1)[order]] = adjusted
    return q.reshape(p.shape)
