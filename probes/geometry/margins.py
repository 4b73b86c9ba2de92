"""Held-out scores, and how far they lie from the boundary in units of the examples' own spread.

Folds never split a unit: a pair of prompts, or one example.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.geometry.spread import Estimates
from probes.linear import Fitter
from probes.stats.checks import generator
from probes.stats.intervals import drawn_interval


@dataclass(frozen=True)
class Margins:
    """Signed distances to the boundary over the within-class spread, per site; below 0 is wrong.

    Attributes:
        lowest: the smallest of the sample. It has no interval: it falls with n, and estimates no
            property of what was sampled.
        low: the 5 % quantile, its interval from resampled units.
        median: the same for the median.
    """

    lowest: tuple[float, ...]
    low: Estimates
    median: Estimates


def within_class_spread(
    x: Float[Tensor, "sites n m d"], labels: Bool[Tensor, "n m"]
) -> Float[Tensor, "sites"]:
    """Root mean squared distance of the examples from their class's mean, in their unit."""
    check_units(x, labels, "within-class spread")
    flat, chosen = x.to(torch.float64).flatten(1, 2), labels.flatten()
    sides = [flat[:, part] for part in (chosen, ~chosen)]
    inside = torch.stack([(s - s.mean(1, keepdim=True)).square().sum((1, 2)) for s in sides])
    return (inside.sum(0) / flat.shape[1]).sqrt()


def margins(
    scores: Float[Tensor, "sites n m"],
    labels: Bool[Tensor, "n m"],
    spread: Float[Tensor, "sites"],
    resamples: int = 500,
    seed: int = 0,
) -> Margins:
    """Margins of examples with the given signed distances to a boundary.

    Args:
        scores: signed distances, such as `probes.linear.LinearProbes.scores` or, held out,
            `held_out_scores`.
        labels: which side each example should be on.
        spread: what a distance is divided by, above 0, such as `within_class_spread`.

    Raises:
        UserError: other shapes, or a spread that is not above 0.
    """
    expect(
        scores.ndim == 3 and labels.shape == scores.shape[1:] and spread.shape == scores.shape[:1],
        "scores [sites, n, m], labels [n, m] and spread [sites]",
        f"{tuple(scores.shape)}, {tuple(labels.shape)} and {tuple(spread.shape)}",
        "reshape them",
        "margins",
    )
    expect(
        (spread > 0).all(),
        "a spread above 0",
        f"{spread.min():.3g}",
        "drop sites with equal activations",
        "margins",
    )
    sign = torch.where(labels, 1.0, -1.0)
    distances = sign * scores.to(torch.float64) / spread[:, None, None]
    n = distances.shape[1]
    index = torch.randint(n, (resamples, n), generator=generator(seed))
    value = _quantiles(distances.flatten(1))
    drawn = torch.stack([_quantiles(site[index].flatten(1)) for site in distances], dim=1)

    def intervals(quantile: int) -> Estimates:
        sites = zip(value[quantile], drawn[quantile], strict=True)
        return tuple(
            drawn_interval(float(v), d, n, "percentile bootstrap of units") for v, d in sites
        )

    least = tuple(distances.flatten(1).min(-1).values.tolist())
    return Margins(least, low=intervals(0), median=intervals(1))


def _quantiles(rows: Float[Tensor, "rows k"]) -> Float[Tensor, "2 rows"]:
    """5 % and 50 % of every row, by partition: sorting all resamples takes far longer."""
    return torch.from_numpy(np.quantile(rows.numpy(), [0.05, 0.5], axis=-1))


def fold_of(units: int, folds: int, seed: int) -> Int[Tensor, "units"]:
    """A fold for every unit, all of equal size to one, in random order.

    Raises:
        UserError: fewer than two folds, or fewer units than folds.
    """
    expect(folds >= 2 and units >= folds, f"from 2 to {units} (units)", folds, "pass 5", "folds")
    return (torch.arange(units) % folds)[torch.randperm(units, generator=generator(seed))]


def check_units(x: Float[Tensor, "sites n m d"], labels: Bool[Tensor, "n m"], name: str) -> None:
    """
    Raises:
        UserError: shapes that do not fit, or labels of one class.
    """
    expect(
        x.ndim == 4 and labels.dtype == torch.bool and labels.shape == x.shape[1:3],
        "x [sites, n, m, d] and bool labels [n, m]",
        f"{tuple(x.shape)} and {labels.dtype} {tuple(labels.shape)}",
        "give one label per example",
        name,
    )
    expect(
        not labels.all() and labels.any(),
        "both classes",
        f"one in {labels.numel()} labels",
        "add the other",
        name,
    )


def held_out_scores(
    fit: Fitter,
    x: Float[Tensor, "sites n m d"],
    labels: Bool[Tensor, "n m"],
    folds: int = 5,
    seed: int = 0,
) -> Float[Tensor, "sites n m"]:
    """Signed distance of every example to the boundary fitted without its unit's fold.

    In the activations' unit, above 0 on the positive side.

    Raises:
        UserError: as `check_units` and `fold_of`.
        ValueError: a training set with one class (add units).
    """
    check_units(x, labels, "held-out scores")
    fold = fold_of(x.shape[1], folds, seed)
    scores = torch.empty(x.shape[:3], dtype=torch.float64)
    for test in range(folds):
        train = fold != test
        probes = fit(x[:, train].flatten(1, 2), labels[train].flatten())
        scores[:, ~train] = probes.scores(x[:, ~train].flatten(1, 2)).unflatten(1, (-1, x.shape[2]))
    return scores
