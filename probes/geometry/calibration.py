"""Probabilities from scores: a logistic in one score, fitted to many rows at once (Platt 1999).

P(positive | score) = sigmoid(slope * score + offset) with slope >= 0. The labels are softened to
(n+ + 1) / (n+ + 2) and 1 / (n- + 2), which is what a uniform prior leaves of certainty; so the fit
is finite where the scores separate the classes, and with one class it is Laplace's rule.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from probes.stats.algebra import newton


def platt(
    scores: Float[Tensor, "rows n"], labels: Bool[Tensor, "rows n"]
) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
    """(slope, offset) of the best logistic per row; a falling one is replaced by a flat one."""
    positives = labels.sum(-1, keepdim=True).to(scores)
    negatives = labels.shape[-1] - positives
    target = torch.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle = scores.mean(-1, keepdim=True)
    unit = (scores - middle).square().mean(-1, keepdim=True).sqrt()
    unit = torch.where(unit > 1e-12 * (1 + middle.abs()), unit, torch.inf)  # constant: no slope
    z = (scores - middle) / unit
    base = target.mean(-1).logit()
    # So little a penalty only keeps the system of a constant score solvable.
    penalty = torch.full((2,), 1e-9).to(z)
    flat = torch.stack([torch.zeros_like(base), base], dim=-1)
    theta = newton(torch.stack([z, torch.ones_like(z)], dim=-1), target, penalty, start=flat)
    slope, offset = torch.where(theta[:, :1] > 0, theta, flat).unbind(-1)
    slope = slope / unit[:, 0]
    return slope, offset - slope * middle[:, 0]
