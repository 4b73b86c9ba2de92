"""The ROC curve of a score, and the threshold that a clean sample allows.

A monitor flags what scores *above* its threshold. The curve has a point for every threshold that
tells two scores apart, ties together, as Fawcett (2006, Pattern Recognition Letters 27) draws it.
The threshold for an allowed share of false alarms is the lowest that flags no more than that share
of a clean sample; what it flags of new prompts is to be measured there.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UserError, expect


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
