"""The false discovery rate (Benjamini & Hochberg 1995, JRSS B 57, 289-300)."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect


def benjamini_hochberg(p: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells"]:
    """Adjusted p values q over all finite cells; NaN stays NaN."""
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
