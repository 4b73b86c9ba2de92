"""The ROC curve of a score, the area under it, and the threshold that a clean sample allows.

A monitor flags what scores *above* its threshold. The curve has a point for every threshold that
tells two scores apart, ties together, as Fawcett (2006, Pattern Recognition Letters 27) draws it.
The threshold for an allowed share of false alarms is the lowest that flags no more than that share
of a clean sample; what it flags of new prompts is to be measured there. Arithmetic is in float64;
areas are those of many scores at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError, expect
from probes.stats.checks import check_vector, rows_of
from probes.stats.intervals import Estimate
from probes.stats.shares import wilson_bounds


@dataclass(frozen=True, eq=False)
class Roc:
    """Shares flagged as the threshold falls, from none to all.

    Attributes:
        thresholds: what must be exceeded to be flagged; falling.
        alarms: share of the negatives above it.
        detected: share of the positives above it.
    """

    thresholds: Float[Tensor, " points"]
    alarms: Float[Tensor, " points"]
    detected: Float[Tensor, " points"]


def roc(scores: Float[Tensor, " n"], positive: Bool[Tensor, " n"]) -> Roc:
    """The curve of a score, from (0, 0) to (1, 1), in fp64.

    Raises:
        UserError: one class only, or a score that is not finite.
    """
    if positive.all() or not positive.any() or not scores.isfinite().all():
        raise UserError("roc: expected finite scores of two classes; give triggered and clean ones")
    values, own = scores.to(torch.float64), positive.to(torch.float64)
    levels = values.unique().flip(0)
    reached = (values[None] >= levels[:, None]).to(torch.float64)
    shares = [(reached * c).sum(dim=1) / c.sum() for c in (1 - own, own)]
    none = torch.zeros(1, dtype=torch.float64)
    # A threshold is exceeded by the scores above it: the level just below belongs to it.
    below = torch.cat([levels[1:], torch.tensor([float("-inf")], dtype=torch.float64)])
    return Roc(
        torch.cat([levels[:1], below]),
        torch.cat([none, shares[0]]),
        torch.cat([none, shares[1]]),
    )


def threshold(clean: Float[Tensor, " n"], alarms: float) -> float:
    """The lowest of the clean scores above which no more than a share ``alarms`` of them lies.

    Raises:
        UserError: no scores, one that is not finite, or a share outside [0, 1).
    """
    expect(
        len(clean) and clean.isfinite().all() and 0 <= alarms < 1,
        "finite clean scores and a share in [0, 1)",
        f"{len(clean)} and {alarms}",
        of="threshold",
    )
    falling = clean.to(torch.float64).sort(descending=True).values
    return float(falling[int(alarms * len(clean))])


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
