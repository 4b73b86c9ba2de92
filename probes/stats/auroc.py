"""Area under the ROC curve, many scores at once, and its interval; arithmetic in float64.

Every function raises ValueError, in one line, on a wrong shape, a non-finite value or a missing
class.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import check_vector, rows_of
from probes.stats.intervals import Estimate, wilson_bounds


def auroc_values(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> Float[Tensor, "sites"]:
    """P(positive scores above negative), ties counting half, per site (Mann & Whitney 1947)."""
    return _placements(*_split(scores, labels)).mean(-1)


def auroc(scores: Float[Tensor, "n"], labels: Bool[Tensor, "n"], level: float = 0.95) -> Estimate:
    """AUROC of one score with an interval that stays honest at 0 and 1.

    The DeLong et al. (1988) variance sets an effective sample size a(1 - a) / variance for the
    Wilson form. It is at least the smaller class, the bound of Birnbaum & Klose (1957), which
    alone counts at a = 0 or 1, where DeLong's own interval has width 0.
    """
    check_vector(scores, "scores")
    high_side, low_side = _split(scores[None], labels)
    above = _placements(high_side, low_side)
    area = above.mean()
    parts = (above, 1 - _placements(low_side, high_side))
    smaller = min(part.shape[-1] for part in parts)
    effective = torch.tensor(float(smaller), dtype=torch.float64, device=area.device)
    if smaller > 1:
        variance = torch.stack([part.var() / part.shape[-1] for part in parts]).sum()
        if variance > 0:
            effective = (area * (1 - area) / variance).clamp_min(smaller)
    low, high = wilson_bounds(area, effective, level)
    return Estimate(area.item(), low.item(), high.item(), len(labels), level, "DeLong-Wilson")


def _placements(
    positive: Float[Tensor, "sites p"], negative: Float[Tensor, "sites m"]
) -> Float[Tensor, "sites p"]:
    """For each positive, the share of negatives below it, ties counting half."""
    reference = negative.sort(-1).values
    below = torch.searchsorted(reference, positive)
    not_above = torch.searchsorted(reference, positive, right=True)
    return (below + not_above).to(torch.float64) / (2 * negative.shape[-1])


def _split(
    scores: Float[Tensor, "sites n"], labels: Bool[Tensor, "n"]
) -> tuple[Float[Tensor, "sites p"], Float[Tensor, "sites m"]]:
    """The scores of the positive and of the negative class, checked."""
    expect(
        scores.ndim == 2 and labels.dtype == torch.bool and labels.shape == scores.shape[-1:],
        "scores [sites, n] and bool labels [n]",
        f"{tuple(scores.shape)} and {labels.dtype} {tuple(labels.shape)}",
        "reshape them",
    )
    expect(
        not labels.all() and labels.any(),
        "both classes",
        f"one in {len(labels)} labels",
        "add the other",
    )
    rows = rows_of(scores, "scores")
    return rows[:, labels].contiguous(), rows[:, ~labels].contiguous()
