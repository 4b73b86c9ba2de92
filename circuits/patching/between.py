"""Interchange of activations between two models: cross-model activation patching (CMAP).

On the same prompts, components of one model are replaced by another's (Prakash et al. 2024, arXiv
2402.14811): what a fine-tuned model does differently there is brought into its base, or taken out
of it. This means something only where both models write in the same coordinates, which is checked
on the residuals of clean prompts.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from circuits.errors import UserError, expect
from circuits.metrics import Measure
from circuits.patching.cells import Cell, Sweep
from circuits.patching.engine import prepare
from circuits.runner import Runner, whole
from circuits.types import PatchGrid, Point, Progress, TokenBatch, TokenPairs, quiet

# Unrelated coordinates agree to about 0; light fine-tuning leaves 0.9 and more.
LEAST_AGREEMENT = 0.5


def patch_between(
    runner: Runner,
    source: Runner,
    tokens: TokenBatch,
    metric: Measure,
    what: Sweep | Sequence[Cell],
    *,
    metric_name: str = "metric",
    labels: tuple[str, ...] | None = None,
    keep: int | None = None,
    progress: Progress = quiet,
) -> PatchGrid:
    """Patch every cell of one model's run with what another computes there on the same prompts.

    With the base as ``runner`` and the organism as ``source`` a cell's effect is what the organism
    does *only there*; the other way round, what is lost *without it*.

    Args:
        runner: the model patched into; its scores are the grid's ``base``.
        source: the model patched from.
        tokens: n prompts, read by both.
        metric, what, labels, keep, progress: as in ``circuits.patching.patch.patch``.

    Raises:
        UserError: the models have other sizes or other coordinates (``agreement``), or a cell is
            not there.
    """
    pairs = TokenPairs(tokens, tokens)
    experiment = prepare(runner, pairs, what, keep=keep, source=source)
    return experiment.measured(metric, metric_name, labels, progress)


@torch.no_grad()
def agreement(runner: Runner, source: Runner, tokens: TokenBatch) -> Float[Tensor, " n_layers"]:
    """Mean cosine of two models' residuals entering every layer, on the same tokens.

    Of every residual the mean over tokens is taken away first: a few channels that are large
    everywhere would make any two models agree.
    """
    points = [Point(layer) for layer in range(runner.shape.n_layers)]
    sides = []
    for each in (runner, source):
        acts = each.forward(whole(tokens), record=points).acts
        real = torch.stack([acts[p][tokens.mask.to(acts[p].device)] for p in points])
        sides.append(real - real.mean(dim=1, keepdim=True))
    return cosine_similarity(sides[0], sides[1], dim=-1).mean(dim=1).cpu()


def require_shared_coordinates(runner: Runner, source: Runner, clean: TokenBatch) -> float:
    """Refuse to exchange activations between models that do not write in the same coordinates.

    Args:
        clean: prompts without the trigger, on which both should compute much the same.

    Returns:
        The least agreement of a layer.

    Raises:
        UserError: other sizes, or an agreement below one half.
    """
    ours, theirs = ((m.shape.n_layers, m.shape.d_model) for m in (runner, source))
    expect(ours == theirs, f"a model of {ours} layers and channels", theirs, of="interchange")
    least = float(agreement(runner, source, clean).min())
    if not least >= LEAST_AGREEMENT:
        raise UserError(
            f"interchange: expected models whose residuals on clean prompts agree (cosine of at "
            f"least {LEAST_AGREEMENT}), got {least:.2f}; they do not share coordinates, so "
            "compare a model with its own base"
        )
    return least
