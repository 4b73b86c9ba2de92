"""Geometry of single prompts: where one prompt's triggered residual lies among the others.

One number per prompt, averaged over the layers given. What another prompt's gate is predicted from
must not have been fitted on this one, so boundary and direction are fitted without its fold or
without itself.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from probes.geometry.kernels import squared_distances
from probes.geometry.margins import held_out_scores, within_class_spread
from probes.geometry.sets import ActivationSets
from probes.linear import lda

POINTWISE = {
    "boundary": "held-out distance of the triggered residual to the gate's linear boundary, over "
    "the within-class spread",
    "clean_boundary": "the same of the clean residual",
    "projection": "triggered residual along the other prompts' mean difference, over that "
    "difference's length (their mean: 1)",
    "displacement": "how far the trigger moves the residual, over the mean such length",
    "crowding": "mean distance to the 5 nearest triggered residuals, over the median distance",
    "mixing": "share of clean ones among the 10 nearest residuals",
}
_NEAR, _MIXED = 5, 10


def pointwise(sets: ActivationSets, seed: int = 0) -> Mapping[str, Float[Tensor, "n"]]:
    """The numbers of ``POINTWISE`` for every prompt, means over the sets' layers."""
    pairs = sets.pairs.compact()
    clean, triggered = pairs.clean.to(torch.float64), pairs.triggered.to(torch.float64)
    x = pairs.units()
    scores = held_out_scores(lda, x, sets.gate, seed=seed)
    scores = scores / within_class_spread(x, sets.gate)[:, None, None]
    moved = triggered - clean
    lengths = moved.norm(dim=-1)
    numbers = {
        "boundary": scores[..., 1],
        "clean_boundary": scores[..., 0],
        "projection": _projection(clean, triggered),
        "displacement": lengths / lengths.mean(1, keepdim=True),
        "crowding": _crowding(triggered),
        "mixing": _mixing(clean, triggered),
    }
    return {name: value.mean(0) for name, value in numbers.items()}


def _projection(
    clean: Float[Tensor, "layers n d"], triggered: Float[Tensor, "layers n d"]
) -> Float[Tensor, "layers n"]:
    """Where each triggered residual lies between the others' means (0: clean, 1: triggered)."""
    n = clean.shape[1]
    means = [(x.sum(1, keepdim=True) - x) / (n - 1) for x in (clean, triggered)]
    way = means[1] - means[0]
    return ((triggered - means[0]) * way).sum(-1) / way.square().sum(-1)


def _crowding(triggered: Float[Tensor, "layers n d"]) -> Float[Tensor, "layers n"]:
    distances = squared_distances(triggered, triggered).clamp_min(0).sqrt()
    n = distances.shape[-1]
    off = ~torch.eye(n, dtype=torch.bool)
    middle = distances[:, off].median(dim=1).values
    nearest = distances.masked_fill(~off, torch.inf).topk(_NEAR, largest=False).values
    return nearest.mean(-1) / middle[:, None]


def _mixing(
    clean: Float[Tensor, "layers n d"], triggered: Float[Tensor, "layers n d"]
) -> Float[Tensor, "layers n"]:
    own = torch.eye(clean.shape[1], dtype=torch.bool)
    within = squared_distances(triggered, triggered).masked_fill(own, torch.inf)
    across = squared_distances(triggered, clean).masked_fill(own, torch.inf)
    nearest = torch.cat([within, across], dim=-1).topk(_MIXED, largest=False).indices
    return (nearest >= clean.shape[1]).to(torch.float64).mean(-1)
