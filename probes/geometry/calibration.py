"""Probabilities from scores: a logistic in one score, fitted to many rows at once (Platt 1999).

P(positive | score) = sigmoid(slope * score + offset) with slope >= 0. The labels are softened to
(n+ + 1) / (n+ + 2) and 1 / (n- + 2), which is what a uniform prior leaves of certainty; so the fit
is finite where the scores separate the classes, and with one class it is Laplace's rule.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

_STEPS, _HALVINGS, _CONVERGED = 100, 12, 1e-7


def platt(
    scores: Float[Tensor, "rows n"], labels: Bool[Tensor, "rows n"]
) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
    """(slope, offset) of the best logistic per row; a falling one is replaced by a flat one.

    Newton's method, a row's step halved until its loss no longer rises.
    """
    positives = labels.sum(-1, keepdim=True).to(scores)
    negatives = labels.shape[-1] - positives
    target = torch.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    middle = scores.mean(-1, keepdim=True)
    unit = (scores - middle).square().mean(-1, keepdim=True).sqrt()
    unit = torch.where(unit > 1e-12 * (1 + middle.abs()), unit, torch.inf)  # constant: no slope
    z = (scores - middle) / unit
    base = target.mean(-1).logit()
    slope, offset = _newton(z, target, base)
    slope, offset = torch.where(slope > 0, slope, 0), torch.where(slope > 0, offset, base)
    slope = slope / unit[:, 0]
    return slope, offset - slope * middle[:, 0]


def _newton(
    z: Float[Tensor, "rows n"], target: Float[Tensor, "rows n"], base: Float[Tensor, "rows"]
) -> tuple[Float[Tensor, "rows"], Float[Tensor, "rows"]]:
    slope, offset = torch.zeros_like(base), base.clone()
    loss = _loss(z, target, slope, offset)
    for _ in range(_STEPS):
        p = torch.sigmoid(slope[:, None] * z + offset[:, None])
        wrong, curve = p - target, p * (1 - p)
        g_slope, g_offset = (wrong * z).sum(-1), wrong.sum(-1)
        a, b, c = (curve * z * z).sum(-1) + 1e-9, (curve * z).sum(-1), curve.sum(-1) + 1e-9
        scale = a * c - b * b
        by_slope = -(c * g_slope - b * g_offset) / scale
        by_offset = -(a * g_offset - b * g_slope) / scale
        for _ in range(_HALVINGS):
            new = _loss(z, target, slope + by_slope, offset + by_offset)
            worse = new > loss + 1e-12
            if not worse.any():
                break
            factor = torch.where(worse, 0.5, 1.0)
            by_slope, by_offset = by_slope * factor, by_offset * factor
        moved = new <= loss + 1e-12
        slope = torch.where(moved, slope + by_slope, slope)
        offset = torch.where(moved, offset + by_offset, offset)
        gained = torch.where(moved, loss - new, 0)
        loss = torch.where(moved, new, loss)
        if (gained <= _CONVERGED).all():
            break
    return slope, offset


def _loss(z: Tensor, target: Tensor, slope: Tensor, offset: Tensor) -> Float[Tensor, "rows"]:
    """Cross-entropy of the softened labels, in nats."""
    logit = slope[:, None] * z + offset[:, None]
    return (softplus(logit) - target * logit).sum(-1)
