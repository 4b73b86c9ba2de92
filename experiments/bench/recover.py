"""Recover a gate from two models, without being told what was planted.

What the trigger adds in this model and not in the base model, per prompt, spans the candidate
subspace of a site. The gate is reported at the earliest site where a subspace of few directions is
necessary and sufficient on validation pairs; what is claimed of it is measured on test pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.gates.rank import RankCurves, rank_curves
from circuits.gates.select import LATEST, NECESSITY, SUFFICIENCY
from circuits.metrics import token_log_prob, token_prob
from circuits.patching.cells import Sweep
from circuits.patching.patch import patch
from circuits.record import record
from circuits.runner import Runner, whole
from circuits.types import Site, TokenPairs
from probes.linear import paired_svd
from probes.stats.intervals import Estimate, difference_interval

SPANS = ("trigger", "last")
MOST = 4  # directions that are tried
EFFECT = 0.1  # the trigger must change the first token's rate by more than this (lower bound)
HEAD = 0.1  # of the effect that a moving head must carry alone


@dataclass(frozen=True)
class Splits:
    """Pairs to fit directions on, to choose on, and to report on."""

    fit: TokenPairs
    validation: TokenPairs
    test: TokenPairs


@dataclass(frozen=True)
class Recovered:
    """What was found; without a gate only the effect.

    Attributes:
        effect: change of the first token's rate by the trigger on test pairs.
        site, basis: where, and orthonormal rows that span the gate.
        necessity, sufficiency: shares of the effect on test pairs.
        heads: (layer, head) that move it to the last token.
    """

    effect: Estimate
    site: Site | None = None
    basis: Float[Tensor, "rank d_model"] | None = None
    necessity: float = 0.0
    sufficiency: float = 0.0
    heads: tuple[tuple[int, int], ...] = ()

    @property
    def found(self) -> bool:
        """Whether a gate is claimed."""
        return self.site is not None

    @property
    def rank(self) -> int:
        return 0 if self.basis is None else len(self.basis)


@torch.no_grad()
def recover(model: Runner, base: Runner, splits: Splits, behaviour: int) -> Recovered:
    """Look for a gate to the behaviour's first token."""
    metric = token_prob([behaviour])
    effect = first_token_effect(model, splits.test, behaviour)
    if effect.low <= EFFECT:
        return Recovered(effect)
    for site, directions in _candidates(model, base, splits.fit):
        rank = _needed(rank_curves(model, splits.validation, site, directions, metric))
        if rank is None:
            continue
        basis = directions[:rank]
        necessity, sufficiency = _shares(rank_curves(model, splits.test, site, basis, metric))[-1]
        if necessity >= NECESSITY and sufficiency >= SUFFICIENCY:
            heads = moving_heads(model, splits.validation, behaviour)
            return Recovered(effect, site, basis, necessity, sufficiency, heads)
    return Recovered(effect)


def first_token_effect(model: Runner, pairs: TokenPairs, behaviour: int) -> Estimate:
    """Paired change of the rate at which the answer begins with the behaviour's token."""
    clean, triggered = (
        (model.forward(whole(side)).logits[:, -1].argmax(dim=-1) == behaviour).double().cpu()
        for side in (pairs.clean, pairs.triggered)
    )
    return difference_interval(triggered, clean)


def _candidates(
    model: Runner, base: Runner, pairs: TokenPairs
) -> Iterator[tuple[Site, Float[Tensor, "k d_model"]]]:
    """Subspaces of what the trigger adds in the model only, earliest site first."""
    layers = range(int(LATEST * model.shape.n_layers + 0.999))
    sites = [Site(layer, "resid_pre", span) for layer in layers for span in SPANS]
    shift = [
        record(m, pairs.triggered, sites) - record(m, pairs.clean, sites) for m in (model, base)
    ]
    learned = shift[0] - shift[1]
    scale = shift[0].flatten(1).norm(dim=1)
    for i, site in enumerate(sites):
        if float(learned[i].norm()) > 1e-3 * max(float(scale[i]), 1e-12):
            yield site, paired_svd(learned[i : i + 1], MOST)[0].float()


def _needed(curves: RankCurves) -> int | None:
    """The fewest directions that are necessary and sufficient; None if not even all are."""
    enough = (
        rank
        for rank, (necessity, sufficiency) in enumerate(_shares(curves))
        if necessity >= NECESSITY and sufficiency >= SUFFICIENCY
    )
    return next(enough, None)


def _shares(curves: RankCurves) -> list[tuple[float, float]]:
    """Necessity and sufficiency of every number of directions."""
    sides = (curve.shares().tolist() for curve in (curves.removed, curves.opened))
    return list(zip(*sides, strict=True))


def moving_heads(model: Runner, pairs: TokenPairs, behaviour: int) -> tuple[tuple[int, int], ...]:
    """Heads that alone carry a tenth of the effect to the output."""
    sweep = Sweep("z", position=False, head=True)
    grid = patch(model, pairs, token_log_prob([behaviour]), sweep)
    moving = (grid.recovery() >= HEAD).nonzero()
    return tuple((int(layer), int(head)) for layer, head in moving)


def overlap(a: Float[Tensor, "k d"], b: Float[Tensor, "m d"]) -> float:
    """Smallest cosine between the larger subspace's directions and the other; |cos| for one."""
    return float(torch.linalg.svdvals(a @ b.T).min())
