"""Evidence for a chosen gate: what a graded dose of it does, and what other directions do instead.

Both measures resume kept runs of pairs at the direction's layer, in the columns from the
first difference on, with variants stacked along the batch in passes of bounded size:

- transfer: the component along the direction, at its span, is set to ``clean_mean + c * gap`` for
  every coefficient c; c = 0 is a typical clean input, c = 1 a typical triggered one;
- nulls: directions that are not the gate are projected out of triggered runs (necessity) and added
  to clean runs at the gate's span, as far as the trigger moves the gate (sufficiency).

Null directions are drawn uniformly on the sphere, or with the covariance of the activations. The
latter is the harder null: a model's activations vary along few directions, which a direction drawn
on the sphere nearly misses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from circuits.align import Pairs
from circuits.errors import UserError
from circuits.gates import phrase
from circuits.metrics import checked
from circuits.patching.resume import measure, require_site
from circuits.patching.suffix import Side, SuffixRun, run_side
from circuits.runner import Runner
from circuits.types import Direction, Metric, Progress, Site, portion, quiet


@dataclass(frozen=True)
class Effects:
    """The metric of every prompt under the removal and the addition of every direction.

    Attributes:
        removed: triggered prompts, the direction projected out from the first difference (or the
            span, if that is earlier) on.
        added: clean prompts, the direction added at the span.
        triggered: triggered prompts, unedited.
        clean: clean prompts, unedited.
    """

    removed: Float[Tensor, "k n"]
    added: Float[Tensor, "k n"]
    triggered: Float[Tensor, " n"]
    clean: Float[Tensor, " n"]

    @property
    def fall(self) -> Float[Tensor, "k n"]:
        """Necessity per example: how far removal lowers the metric of triggered prompts."""
        return self.triggered - self.removed

    @property
    def rise(self) -> Float[Tensor, "k n"]:
        """Sufficiency per example: how far addition raises the metric of clean prompts."""
        return self.added - self.clean

    def clamped(self, limit: float) -> "Effects":
        """The same with the metric held between ``-limit`` and ``limit``."""
        each = (self.removed, self.added, self.triggered, self.clean)
        return Effects(*(values.clamp(-limit, limit) for values in each))


def coefficients(reach: float = 2.0, count: int = 17) -> Float[Tensor, " c"]:
    """Evenly spaced doses from ``-reach`` to ``reach``."""
    return torch.linspace(-reach, reach, count)


@torch.no_grad()
def transfer(
    runner: Runner,
    pairs: Pairs,
    direction: Direction,
    metric: Metric,
    coefficients: Float[Tensor, " c"],
    side: Side = "clean",
    progress: Progress = quiet,
) -> Float[Tensor, "c n"]:
    """The metric of the prompts on one side of the pairs with the component set to every dose.

    Args:
        direction: of ``resid_pre``; the component is set at its span.
        coefficients: doses in units of the direction's gap.
        side: which prompts to run.

    Raises:
        UserError: another stream, no such span, or a dose that is not finite.
    """
    if coefficients.ndim != 1 or not len(coefficients) or not bool(coefficients.isfinite().all()):
        raise UserError(f"transfer: expected finite coefficients [c], got {coefficients.tolist()}")
    run = _run(runner, pairs, side, direction.site)
    resid = run.resid[direction.site.layer]
    unit = direction.vector.to(resid)
    columns = run.tokens.spans[direction.site.span][:, run.first :].to(resid.device)
    levels = (direction.clean_mean + direction.gap * coefficients).to(resid)

    def variants(which: Tensor) -> Tensor:
        if direction.earlier:
            return phrase.level(direction, resid, columns, coefficients[which])
        missing = levels[which][:, None, None] - resid @ unit
        return resid + (missing * columns).unsqueeze(-1) * unit

    return measure(runner, run, direction.site, len(coefficients), variants, metric, progress)


@torch.no_grad()
def effects(
    runner: Runner,
    pairs: Pairs,
    site: Site,
    units: Float[Tensor, "k d_model"],
    amounts: Float[Tensor, " k"] | float,
    metric: Metric,
    progress: Progress = quiet,
) -> Effects:
    """What unit directions do in the place of a gate: removed, and added by the amounts.

    The gate itself may be one of the rows; it is then measured in the same way as the others.

    Args:
        site: the gate's.
        amounts: in residual units, one of each direction or one for all, as the gate's own gap.

    Raises:
        UserError: another stream, no such span, equal pairs, or rows that are not unit vectors.
    """
    sizes = amounts if isinstance(amounts, Tensor) else torch.full((len(units),), amounts)
    _check_units(units, sizes, runner.shape.d_model)
    clean, triggered = _run(runner, pairs, "clean", site), _run(runner, pairs, "triggered", site)
    rows, sizes = units.to(clean.resid), sizes.to(clean.resid)
    columns = clean.tokens.spans[site.span][:, clean.first :].to(rows.device)

    def removed(which: Tensor) -> Tensor:
        resid = triggered.resid[site.layer]
        component = einsum(resid, rows[which], "n column d, k d -> k n column")
        return resid - component.unsqueeze(-1) * rows[which][:, None, None]

    def added(which: Tensor) -> Tensor:
        shift = (sizes[which][:, None] * rows[which])[:, None, None]
        return clean.resid[site.layer] + columns.unsqueeze(-1) * shift

    def measured(run: SuffixRun, variants: Callable[[Tensor], Tensor], half: int) -> Tensor:
        def passed(done: int, total: int) -> None:
            progress(half * total + done, 2 * total)

        return measure(runner, run, site, len(units), variants, metric, passed)

    return Effects(
        measured(triggered, removed, 0),
        measured(clean, added, 1),
        checked(metric, triggered.logits).cpu(),
        checked(metric, clean.logits).cpu(),
    )


@torch.no_grad()
def directed(
    runner: Runner,
    pairs: Pairs,
    directions: Sequence[Direction],
    metric: Metric,
    progress: Progress = quiet,
) -> Effects:
    """As ``effects``, of directions of one site by their own gaps; of a phrase's token by token.

    Raises:
        UserError: as ``effects``.
    """
    site, k = directions[0].site, len(directions)
    if not any(direction.earlier for direction in directions):
        units = torch.stack([direction.vector.float().cpu() for direction in directions])
        gaps = torch.tensor([direction.gap for direction in directions])
        return effects(runner, pairs, site, units, gaps, metric, progress)
    clean, triggered = _run(runner, pairs, "clean", site), _run(runner, pairs, "triggered", site)
    columns = clean.tokens.spans[site.span][:, clean.first :]
    here, there = (run.resid[site.layer] for run in (clean, triggered))
    bases = [phrase.basis(direction) for direction in directions]

    def removed(which: Tensor) -> Tensor:
        return torch.stack([phrase.removed(there, bases[i]) for i in which.tolist()])

    def added(which: Tensor) -> Tensor:
        shifts = [phrase.shift(directions[i], columns) for i in which.tolist()]
        return here + torch.stack(shifts).to(here)

    return Effects(
        measure(runner, triggered, site, k, removed, metric, portion(progress, 0, 2)),
        measure(runner, clean, site, k, added, metric, portion(progress, 1, 2)),
        checked(metric, triggered.logits).cpu(),
        checked(metric, clean.logits).cpu(),
    )


def sphere_directions(d_model: int, count: int, seed: int) -> Float[Tensor, "k d_model"]:
    """Unit vectors uniform on the sphere."""
    drawn = torch.randn(count, d_model, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def covariance_directions(
    clean: Float[Tensor, "n d_model"],
    triggered: Float[Tensor, "m d_model"],
    count: int,
    seed: int,
    beside: Float[Tensor, "own d_model"] | None = None,
) -> Float[Tensor, "k d_model"]:
    """Unit vectors along draws from N(0, S), S the covariance of activations within the classes.

    ``beside`` are orthonormal rows that are projected out of them before: where activations vary
    along the gate itself, a draw would else be the gate, and no null of it.

    Each class is centred on its own mean, so that the difference of the means, which is what the
    trigger does, does not enter S. A draw is a sum of the centred activations with standard normal
    weights, which has covariance proportional to S also where S is singular (n + m < d_model).

    Raises:
        UserError: the activations do not vary within the classes.
    """
    centred = _centred(clean, triggered, beside)
    if not varies(clean, triggered, beside):
        raise UserError(
            "null directions: expected activations that vary within clean and triggered prompts, "
            "got equal ones; pass several prompts, or a site that is not in layer 0"
        )
    weights = torch.randn(count, len(centred), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(weights @ centred.cpu(), dim=1)


def varies(
    clean: Float[Tensor, "n d_model"],
    triggered: Float[Tensor, "m d_model"],
    beside: Float[Tensor, "own d_model"] | None = None,
) -> bool:
    """Whether activations differ within the classes, beside orthonormal rows if some are given."""
    size = float(torch.cat([clean, triggered]).float().norm())
    return float(_centred(clean, triggered, beside).norm()) > 1e-6 * size


def _centred(clean: Tensor, triggered: Tensor, beside: Tensor | None) -> Float[Tensor, "nm d"]:
    sides = [side.float() - side.float().mean(dim=0) for side in (clean, triggered)]
    centred = torch.cat(sides)
    return centred if beside is None else without(centred, beside.to(centred))


def without(x: Float[Tensor, "n d"], rows: Float[Tensor, "m d"]) -> Float[Tensor, "n d"]:
    """``x`` without its components along orthonormal rows, taken out one after another."""
    for unit in rows:
        x = x - torch.outer(x @ unit, unit)
    return x


def _run(runner: Runner, pairs: Pairs, side: Side, site: Site) -> SuffixRun:
    """The kept run of one side, after refusing a site that cannot be resumed."""
    require_site(site, runner.shape.n_layers, pairs.clean if side == "clean" else pairs.triggered)
    return run_side(runner, pairs, side, site.span)


def _check_units(units: Tensor, amounts: Tensor, d_model: int) -> None:
    if units.ndim != 2 or not len(units) or units.shape[1] != d_model:
        raise UserError(f"directions: expected [k, {d_model}], got {tuple(units.shape)}")
    if amounts.shape != units.shape[:1]:
        raise UserError(
            f"directions: expected one amount each, shape ({len(units)},), got "
            f"{tuple(amounts.shape)}"
        )
    error = float((units.norm(dim=1) - 1).abs().max())
    if not error < 1e-3:
        raise UserError(f"directions: expected unit vectors, got norms that differ by {error:.2g}")
