"""An order for a pool of directions, by what removing them leaves of the behaviour.

A rank curve (``circuits.gates.rank``) depends on the order of its basis; here the pool is ordered
by adding or dropping one direction at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.edits import operators
from circuits.errors import UserError
from circuits.gates.rank import RankCurve, Scene, Target
from circuits.runner import Runner
from circuits.types import Metric, Site, TokenPairs

_DEPENDENT = 1e-3  # a direction of which less is left outside a subspace lies in it


@dataclass(frozen=True)
class GreedyBasis:
    """A basis ordered by what removal does, and the curve of removing its first r rows.

    Attributes:
        basis: orthonormal rows; row r is what the chosen direction adds to the rows before it.
        order: the chosen directions' places in the pool.
    """

    basis: Float[Tensor, "rank d_model"]
    order: tuple[int, ...]
    curve: RankCurve


@torch.no_grad()
def greedy_basis(
    runner: Runner,
    pairs: TokenPairs,
    site: Site,
    pool: Float[Tensor, "candidates d_model"],
    metric: Metric,
    rank: int,
    by: Literal["adding", "dropping"] = "adding",
    remove_to: Target = "clean mean",
) -> GreedyBasis:
    """Order a pool of directions by what removing them leaves of the behaviour.

    ``adding`` starts with none and adds, one at a time, the direction whose removal leaves least;
    it goes wrong where no direction alone matters, as in a gate that each of two directions opens.
    ``dropping`` starts with all and drops the one that is missed least, so that it finds these;
    it takes more passes, and needs a pool whose removal does no other harm. Directions that others
    span are left out. Report the curve on other pairs than those that chose.

    Args:
        pool: directions of any length, none of them zero.
        rank: how many to choose, at most.
        by: which of the two.

    Raises:
        UserError: as :func:`rank_curves`, an empty pool, or a rank below 1.
    """
    if rank < 1 or pool.ndim != 2 or not len(pool):
        raise UserError(
            f"greedy basis: expected a rank of 1 or more and a pool [m, d], got {rank} and "
            f"{tuple(pool.shape)}"
        )
    scene = Scene.of(runner, pairs, site, pool.shape[1])
    pool = torch.nn.functional.normalize(pool.to(scene.clean.resid.device, torch.float32), dim=1)
    clean, triggered = scene.levels(metric)

    def best(sets: Sequence[list[int]]) -> list[int]:
        """The set whose removal leaves least; the first of equals."""
        bases = [_gram_schmidt(pool[chosen]) for chosen in sets]
        variants = torch.stack([scene.removed(basis, remove_to) for basis in bases])
        left = (scene.behaviour(variants, metric) - clean).mean(dim=1).abs().tolist()
        return sets[left.index(min(left))]

    order = (_added if by == "adding" else _dropped)(pool, rank, best)
    basis = _gram_schmidt(pool[order])
    parts = [scene.removed(basis[:size], remove_to) for size in range(len(basis) + 1)]
    values = scene.behaviour(torch.stack(parts), metric)
    curve = RankCurve("removed", site, values, triggered, clean)
    return GreedyBasis(basis, tuple(order), curve)


Best = Callable[[Sequence[list[int]]], list[int]]


def _added(pool: Tensor, rank: int, best: Best) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < rank:
        longer = [[*chosen, i] for i in _outside(pool, chosen)]
        if not longer:
            break
        chosen = best(longer)
    return chosen


def _dropped(pool: Tensor, rank: int, best: Best) -> list[int]:
    kept: list[int] = []
    while more := _outside(pool, kept):
        kept.append(more[0])
    order: list[int] = []
    while len(kept) > 1:
        fewer = best([[j for j in kept if j != i] for i in kept])
        order = [*(set(kept) - set(fewer)), *order]
        kept = fewer
    return [*kept, *order][:rank]


def _outside(pool: Tensor, chosen: Sequence[int]) -> list[int]:
    """The unit directions of a pool that those chosen do not span."""
    left = operators.project_out_subspace(pool, _gram_schmidt(pool[list(chosen)]))
    return (left.norm(dim=1) > _DEPENDENT).nonzero()[:, 0].tolist()


def _gram_schmidt(rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """Orthonormal rows, each along what a row adds to those before it."""
    q, r = torch.linalg.qr(rows.T.double())
    return (q * r.diagonal().sign()).T.to(rows.dtype)
