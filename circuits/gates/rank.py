"""How many directions a gate needs: behaviour against the size of the subspace that is edited.

Of an orthonormal basis whose rows are ordered, the first r are edited, for every r from none to
all. Each edit is the same map: the components of a residual in the subspace become those of another
activation, and all others stay.

- removed: in triggered runs, from the first difference on, they become the clean mean of the column
  (mean ablation) or zero (projection). What is left of the behaviour says what was necessary.
- opened: in clean runs, at the site's span, they become those of the same prompt with the trigger
  (an interchange, Geiger et al. 2021, arXiv 2106.02997). What appears says what suffices.
- closed: the same from clean to triggered.

All of it is one pass of either side that resumes at the site's layer (several, where one would not
fit the memory that a pass may take).

A curve depends on the order of the basis. Mean difference first is a good order for one direction
and for nothing else: where several directions each open the gate, the mean difference is only one
of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs, Side, SpanPairs, matched, moved
from circuits.edits import operators
from circuits.errors import UserError, expect
from circuits.metrics import checked
from circuits.patching.resume import measure, require_site
from circuits.patching.suffix import SuffixRun, run_side
from circuits.runner import Runner
from circuits.types import Metric, Site, TokenPairs

Target = Literal["clean mean", "zero"]
Residual = Float[Tensor, "n column d_model"]
_ROUNDING = 1e-6  # of a share; it must not cost a direction


@dataclass(frozen=True)
class RankCurve:
    """Per-example behaviour with the first r directions edited, for r = 0 to all.

    Attributes:
        edit: which of the module's edits.
        site: where.
        values: the metric; row r has r directions edited, row 0 none.
        base: the metric of the run that is edited.
        source: the metric of the run it is to become: clean for ``removed`` and ``closed``.
    """

    edit: Literal["removed", "opened", "closed"]
    site: Site
    values: Float[Tensor, "sizes example"]
    base: Float[Tensor, " example"]
    source: Float[Tensor, " example"]

    def shares(self) -> Float[Tensor, " sizes"]:
        """How much of the full effect every r achieves (ratio of means); 1 is all of it.

        Raises:
            UserError: clean and triggered runs score the same.
        """
        full = (self.source - self.base).mean()
        if float(full.abs()) < 1e-9:
            raise UserError(
                "rank: triggered and clean pairs score the same, so there is no effect to explain; "
                "check the trigger and the metric"
            )
        return (self.values - self.base).mean(dim=1) / full

    def needed(self, share: float = 0.9) -> int | None:
        """The smallest r that achieves this share of the full effect; None if no r does."""
        reached = (self.shares() >= share - _ROUNDING).nonzero()
        return int(reached[0]) if len(reached) else None


@dataclass(frozen=True)
class RankCurves:
    """The three curves of one basis: what is necessary, and what suffices in both directions."""

    removed: RankCurve
    opened: RankCurve
    closed: RankCurve


def toward(
    x: Float[Tensor, "*batch d"], other: Float[Tensor, "*other d"], basis: Float[Tensor, "k d"]
) -> Float[Tensor, "*batch d"]:
    """``x`` with the components in the span of orthonormal rows those of ``other``; others stay.

    Differentiable. A mean as ``other`` makes it ``circuits.edits.erase.mean_ablation``, zero a
    projection and another run an interchange.
    """
    change = (other - x).to(basis.dtype) @ basis.T @ basis
    return x + change.to(x.dtype)


@torch.no_grad()
def rank_curves(
    runner: Runner,
    pairs: Pairs,
    site: Site,
    basis: Float[Tensor, "k d_model"],
    metric: Metric,
    remove_to: Target = "clean mean",
) -> RankCurves:
    """The curves of a basis at a site.

    Args:
        runner: the model.
        pairs: pairs that the basis was not fitted on; of unequal lengths, their spans are matched
            from the ends (``align.matched``), and nothing has a clean mean of its column.
        site: ``resid_pre`` of a layer; its span is where ``opened`` and ``closed`` interchange.
        basis: orthonormal rows, in the order in which they are to be added.
        metric: the behaviour.
        remove_to: what ``removed`` sets the components to.

    Raises:
        UserError: rows that are not orthonormal or of another size, another stream, a span that
            the pairs lack, pairs that do not differ, or clean means of pairs of unequal lengths.
    """
    expect(
        remove_to == "zero" or isinstance(pairs, TokenPairs),
        "pairs of equal lengths, whose columns have clean means",
        "unequal ones",
        "remove to zero",
        "rank",
    )
    operators.require_orthonormal(basis, "rank")
    scene = Scene.of(runner, pairs, site, basis.shape[1])
    rows = basis.to(scene.clean.resid.device, torch.float32)
    sizes = len(rows) + 1

    def measured(run: SuffixRun, *moves: Callable[[Tensor], Residual]) -> Tensor:
        def variants(which: Tensor) -> Tensor:
            return torch.stack([moves[i // sizes](rows[: i % sizes]) for i in which.tolist()])

        values = measure(runner, run, site, len(moves) * sizes, variants, metric)
        return rearrange(values, "(move size) n -> move size n", size=sizes)

    removed, closed = measured(
        scene.triggered, lambda part: scene.removed(part, remove_to), scene.closed
    )
    (opened,) = measured(scene.clean, scene.opened)
    clean, triggered = (checked(metric, run.logits).cpu() for run in (scene.clean, scene.triggered))
    return RankCurves(
        RankCurve("removed", site, removed, triggered, clean),
        RankCurve("opened", site, opened, clean, triggered),
        RankCurve("closed", site, closed, triggered, clean),
    )


@dataclass(frozen=True)
class Scene:
    """The two unedited runs of aligned pairs, and the edits of a subspace at a site."""

    runner: Runner
    site: Site
    clean: SuffixRun
    triggered: SuffixRun

    @classmethod
    def of(cls, runner: Runner, pairs: Pairs, site: Site, width: int) -> "Scene":
        """Run the pairs, after refusing a site or directions that cannot be (UserError)."""
        require_site(site, runner.shape.n_layers, pairs.clean, pairs.triggered)
        if width != runner.shape.d_model:
            expected = runner.shape.d_model
            raise UserError(f"{site}: expected directions of {expected} channels, got {width}")
        # What is matched to a column of the span may lie before the other side's first difference.
        since = site.span if isinstance(pairs, SpanPairs) else None
        sides: tuple[Side, Side] = ("clean", "triggered")
        return cls(runner, site, *(run_side(runner, pairs, side, since) for side in sides))

    def removed(self, basis: Float[Tensor, "k d"], to: Target) -> Residual:
        """Triggered residuals, the components set to the clean mean of the column, or to zero."""
        resid, clean = (run.resid[self.site.layer] for run in (self.triggered, self.clean))
        if to == "zero":
            return toward(resid, torch.zeros_like(resid[0]), basis)
        real = self.clean.tokens.mask[:, self.clean.first :, None].to(clean.device)
        total = torch.where(real, clean.float(), 0).sum(dim=0)
        return toward(resid, (total / real.sum(dim=0).clamp(min=1)).to(resid), basis)

    def opened(self, basis: Float[Tensor, "k d"]) -> Residual:
        """Clean residuals, the components at the span those of the triggered run."""
        return self._interchanged(self.clean, self.triggered, basis)

    def closed(self, basis: Float[Tensor, "k d"]) -> Residual:
        """Triggered residuals, the components at the span those of the clean run."""
        return self._interchanged(self.triggered, self.clean, basis)

    def _interchanged(self, base: SuffixRun, source: SuffixRun, basis: Tensor) -> Residual:
        layer, span = self.site.layer, self.site.span
        columns = base.tokens.spans[span][:, base.first :].to(base.resid.device)
        there = matched(base.tokens, source.tokens, span)[:, base.first :] - source.first
        other = moved(source.resid[layer], there)
        return operators.on_columns(lambda x: toward(x, other, basis), base.resid[layer], columns)
