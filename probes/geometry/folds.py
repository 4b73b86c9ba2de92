"""Held-out scores and folds that never split a unit (a pair of prompts, or one example)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.linear import Fitter
from probes.stats.checks import generator


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
