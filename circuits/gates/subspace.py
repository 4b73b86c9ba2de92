"""A subspace that carries the trigger's effect where no single direction does.

What the trigger adds in a model and not in its base, prompt by prompt, spans a few directions of a
site. They carry the effect if exchanging the components there between triggered and clean prompts
(an interchange, Geiger et al. 2021, arXiv 2106.02997) closes and opens the behaviour. Coefficients
may then differ from prompt to prompt, in sign too, which a direction's mean shift cannot follow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.gates.rank import RankCurves, rank_curves
from circuits.gates.select import NECESSITY, SUFFICIENCY, Candidate
from circuits.runner import Runner
from circuits.types import Metric, Site


@dataclass(frozen=True)
class Subspace:
    """Orthonormal directions at a site, in the order of what the trigger adds along them.

    Attributes:
        varies: along the first of them, what the trigger adds scatters over prompts by more than
            its mean; otherwise the first alone is a direction like any other.
    """

    site: Site
    basis: Float[Tensor, "k d_model"]
    varies: bool = False


def carrying(
    runner: Runner, pairs: Pairs, subspaces: Iterable[Subspace], metric: Metric
) -> Subspace | None:
    """The first of them that carries the effect, with as few of its directions as do.

    One is enough only where its coefficient varies in sign.
    """
    for subspace in subspaces:
        curves = rank_curves(runner, pairs, subspace.site, subspace.basis, metric, "zero")
        count = needed(curves)
        if count and (count > 1 or subspace.varies):
            return Subspace(subspace.site, subspace.basis[:count], subspace.varies)
    return None


def needed(curves: RankCurves) -> int | None:
    """The fewest directions whose exchange closes and opens the behaviour; None if none do."""
    closed, opened = (curve.shares().tolist() for curve in (curves.closed, curves.opened))
    both = enumerate(zip(closed, opened, strict=True))
    return next((r for r, (c, o) in both if c >= NECESSITY and o >= SUFFICIENCY), None)


def without_direction(subspaces: Sequence[Subspace], scored: Sequence[Candidate]) -> list[Subspace]:
    """Those at whose site no scored direction, a null's included, shuts and opens by itself."""
    single = {
        c.direction.site
        for c in scored
        if c.necessity >= NECESSITY and c.sufficiency >= SUFFICIENCY
    }
    return [subspace for subspace in subspaces if subspace.site not in single]
