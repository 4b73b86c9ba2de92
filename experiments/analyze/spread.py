"""Looking for what carries the effect where no single direction does."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from circuits.gates import select
from circuits.gates.rank import RankCurve, rank_curves
from circuits.gates.subspace import Subspace, carrying, without_direction
from circuits.types import Site
from experiments.analyze.base import base_activations, base_name
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.parts import Spread
from experiments.analyze.select import selection
from probes.linear import paired_svd
from probes.stats.intervals import Estimate, is_scale
from probes.stats.means import ratio_bounds

_STAGE = "subspace"
_FEW = 8  # validation pairs on which it is looked for
_MOST = 12  # directions that are tried
_NOTHING = 1e-3  # of the trigger's shift: less was not learned


def spread(exam: Examination) -> Spread | None:
    """A subspace that carries the effect; none where there is none, where no base is known, and in
    finished runs of before."""
    if not exam.can(_STAGE) or (not exam.has(_STAGE) and base_name(exam) is None):
        return None
    return next(iter(_spread(exam)), None)


@Stage(_STAGE)
def _spread(exam: Examination) -> tuple[Spread, ...]:
    sides = [exam.activations("fit"), base_activations(exam)]
    shift, base = (acts["triggered"] - acts["clean"] for acts in sides if acts is not None)
    runner, metric = exam.model.runner, exam.log_odds
    few, scored = exam.pairs("validation", _FEW), selection(exam).candidates
    exact = [c for c in scored if c.n]
    every = iter(without_direction(learned(exam.sites(), shift, base), exact))
    while best := carrying(runner, few, every, metric):
        # What was only ranked there is scored now: one of them may do it by itself.
        ranked = [c.direction for c in scored if not c.n and c.direction.site == best.site]
        if without_direction([best], select.score(runner, few, ranked, metric)):
            break
    if best is None:
        return ()
    curves = rank_curves(runner, exam.pairs("test"), best.site, best.basis, metric, "zero")
    if not is_scale(curves.opened.source - curves.opened.base):
        return ()
    return (Spread(best.site, len(best.basis), _all(curves.closed), _all(curves.opened)),)


def learned(
    sites: Sequence[Site],
    shift: Float[Tensor, "sites n d"],
    base: Float[Tensor, "sites n d"],
    spans: Sequence[str] = ("trigger", "last"),
) -> list[Subspace]:
    """At every site of these spans, what the trigger adds in the model and not in its base.

    Args:
        shift, base: triggered minus clean residuals of both, prompt by prompt.
    """
    more, most = shift - base, min(_MOST, *shift.shape[1:])
    return [
        _subspace(site, more[i], most)
        for i, site in enumerate(sites)
        if site.span in spans and float(more[i].norm()) > _NOTHING * float(shift[i].norm())
    ]


def _subspace(site: Site, more: Float[Tensor, "n d"], most: int) -> Subspace:
    basis = paired_svd(more[None], most)[0].float()
    along = more.float() @ basis[0]
    return Subspace(site, basis, bool(along.mean().abs() < along.std()))


def _all(curve: RankCurve) -> Estimate:
    """What exchanging all of the directions does, as a share of the effect."""
    moved, full = (curve.values[-1] - curve.base).double(), (curve.source - curve.base).double()
    value, low, high = (float(bound) for bound in ratio_bounds(moved[None], full))
    return Estimate(value, low, high, len(full))
