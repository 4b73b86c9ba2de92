"""Evidence for a chosen gate: what a graded dose of it does, and what other directions do instead.

Both measures resume kept runs of aligned pairs at the direction's layer, in the columns from the
first difference on, with variants stacked along the batch in passes of bounded size:

- transfer: the component along the direction, at its span, is set to ``clean_mean + c * gap`` for
  every coefficient c; c = 0 is a typical clean input, c = 1 a typical triggered one;
- nulls: directions that are not the gate are projected out of triggered runs (necessity) and added
  to clean runs at the gate's span, as far as the trigger moves the gate (sufficiency).

Null directions are drawn uniformly on the sphere, or with the covariance of the activations. The
latter is the harder null: a model's activations vary along few directions, which a direction drawn
on the sphere nearly misses.

Where the fast path does not hold (``circuits.backends.fastpath``), every variant is a whole pass
instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.backends.fastpath import fast_path
from circuits.errors import UserError
from circuits.metrics import checked
from circuits.patching.engine import tokens_per_forward
from circuits.patching.suffix import SuffixRun, run_suffix
from circuits.runner import Runner, Window
from circuits.types import Direction, Edit, Metric, Point, Progress, Site, TokenPairs, quiet

Side = Literal["clean", "triggered"]
# Residuals ``[variant, n, column, d_model]`` of the variants numbered by the argument.
_Variants = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TransferCurve:
    """The metric of every prompt at every dose.

    Attributes:
        coefficients: doses, in units of the direction's gap above the clean mean.
        values: the metric with the component set to that dose.
        unedited: the metric of the same prompts without an edit.
    """

    coefficients: Float[Tensor, " c"]
    values: Float[Tensor, "c n"]
    unedited: Float[Tensor, " n"]


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


def coefficients(reach: float = 2.0, count: int = 17) -> Float[Tensor, " c"]:
    """Evenly spaced doses from ``-reach`` to ``reach``."""
    return torch.linspace(-reach, reach, count)


@torch.no_grad()
def transfer(
    runner: Runner,
    pairs: TokenPairs,
    direction: Direction,
    metric: Metric,
    coefficients: Float[Tensor, " c"],
    side: Side = "clean",
    progress: Progress = quiet,
) -> TransferCurve:
    """The metric on one side of the pairs with the component set to every dose in turn.

    Args:
        direction: of ``resid_pre``; the component is set at its span.
        coefficients: doses in units of the direction's gap.
        side: which prompts to run.

    Raises:
        UserError: another stream, no such span, or a dose that is not finite.
    """
    if coefficients.ndim != 1 or not len(coefficients) or not bool(coefficients.isfinite().all()):
        raise UserError(f"transfer: expected finite coefficients [c], got {coefficients.tolist()}")
    tokens = pairs.clean if side == "clean" else pairs.triggered
    run = _run(runner, pairs, side, direction.site)
    resid = run.resid[direction.site.layer]
    unit = direction.vector.to(resid)
    columns = tokens.spans[direction.site.span][:, run.first :].to(resid.device)
    levels = (direction.clean_mean + direction.gap * coefficients).to(resid)

    def variants(which: Tensor) -> Tensor:
        missing = levels[which][:, None, None] - resid @ unit
        return resid + (missing * columns).unsqueeze(-1) * unit

    values = _measure(runner, run, direction.site, len(coefficients), variants, metric, progress)
    return TransferCurve(coefficients, values, checked(metric, run.logits).cpu())


def nulls(
    runner: Runner,
    pairs: TokenPairs,
    direction: Direction,
    directions: Float[Tensor, "k d_model"],
    metric: Metric,
    progress: Progress = quiet,
) -> Effects:
    """What unit directions do in the place of a gate: removed, and added by the gate's own gap.

    The gate itself may be one of the rows; it is then measured in the same way as the others.

    Raises:
        UserError: another stream, no such span, equal pairs, or rows that are not unit vectors.
    """
    amounts = torch.full((len(directions),), direction.gap)
    return effects(runner, pairs, direction.site, directions, amounts, metric, progress)


@torch.no_grad()
def effects(
    runner: Runner,
    pairs: TokenPairs,
    site: Site,
    units: Float[Tensor, "k d_model"],
    amounts: Float[Tensor, " k"],
    metric: Metric,
    progress: Progress = quiet,
) -> Effects:
    """As :func:`nulls`, every direction added by an amount of its own (residual units).

    Raises:
        UserError: as in :func:`nulls`.
    """
    _check_units(units, amounts, runner.shape.d_model)
    runs = {side: _run(runner, pairs, side, site) for side in ("clean", "triggered")}
    clean, triggered = (runs[side].resid[site.layer] for side in ("clean", "triggered"))
    rows, sizes = units.to(clean), amounts.to(clean)
    columns = pairs.clean.spans[site.span][:, runs["clean"].first :].to(clean.device)
    count = len(units)

    def removed(which: Tensor) -> Tensor:
        component = torch.einsum("ncd,kd->knc", triggered, rows[which])
        return triggered - component.unsqueeze(-1) * rows[which][:, None, None]

    def added(which: Tensor) -> Tensor:
        shift = (sizes[which][:, None] * rows[which])[:, None, None]
        return clean + columns.unsqueeze(-1) * shift

    def second_half(done: int, total: int) -> None:
        progress(total + done, 2 * total)

    fallen = _measure(
        runner,
        runs["triggered"],
        site,
        count,
        removed,
        metric,
        lambda done, total: progress(done, 2 * total),
    )
    risen = _measure(runner, runs["clean"], site, count, added, metric, second_half)
    levels = (checked(metric, runs[side].logits).cpu() for side in ("triggered", "clean"))
    return Effects(fallen, risen, *levels)


def sphere_directions(d_model: int, count: int, seed: int) -> Float[Tensor, "k d_model"]:
    """Unit vectors uniform on the sphere."""
    drawn = torch.randn(count, d_model, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def covariance_directions(
    clean: Float[Tensor, "n d_model"],
    triggered: Float[Tensor, "m d_model"],
    count: int,
    seed: int,
) -> Float[Tensor, "k d_model"]:
    """Unit vectors along draws from N(0, S), S the covariance of activations within the classes.

    Each class is centred on its own mean, so that the difference of the means, which is what the
    trigger does, does not enter S. A draw is a sum of the centred activations with standard normal
    weights, which has covariance proportional to S also where S is singular (n + m < d_model).

    Raises:
        UserError: the activations do not vary within the classes.
    """
    centred = torch.cat([side.float() - side.float().mean(dim=0) for side in (clean, triggered)])
    if float(centred.norm()) <= 1e-6 * float(torch.cat([clean, triggered]).float().norm()):
        raise UserError(
            "null directions: expected activations that vary within clean and triggered prompts, "
            "got equal ones; pass several prompts, or a site that is not in layer 0"
        )
    weights = torch.randn(count, len(centred), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(weights @ centred.cpu(), dim=1)


def _run(runner: Runner, pairs: TokenPairs, side: str, site: Site) -> SuffixRun:
    """The kept run of one side, after refusing a site that cannot be resumed."""
    if site.stream != "resid_pre" or not 0 <= site.layer < runner.shape.n_layers:
        layers = runner.shape.n_layers
        raise UserError(f"gate at {site}: expected resid_pre of a layer in 0..{layers - 1}")
    tokens = pairs.clean if side == "clean" else pairs.triggered
    tokens.span_column(site.span)  # refuses a span that is not there
    first = pairs.first_difference
    if first == tokens.width:
        raise UserError("pairs: clean and triggered are equal; check trigger and control words")
    here = int(tokens.spans[site.span].any(dim=0).nonzero()[0])
    return run_suffix(runner, tokens, min(first, here), shared=fast_path(runner).holds)


def _measure(
    runner: Runner,
    run: SuffixRun,
    site: Site,
    count: int,
    variants: _Variants,
    metric: Metric,
    progress: Progress,
) -> Float[Tensor, "count n"]:
    """The metric of every variant of a run, in passes of bounded size, on the CPU."""
    width = run.width if run.past is not None else run.tokens.width
    size = max(1, tokens_per_forward(runner.shape) // (len(run.tokens) * width))
    found = []
    for which in torch.arange(count).split(size):
        logits = _logits(runner, run, site.layer, variants(which))
        found.append(checked(metric, logits).unflatten(0, (len(which), -1)).cpu())
        progress(int(which[-1]) + 1, count)
    values = torch.cat(found).float()
    if not bool(values.isfinite().all()):
        raise UserError(f"gate at {site}: expected finite metric values, got NaN or infinity")
    return values


def _logits(
    runner: Runner, run: SuffixRun, layer: int, variants: Float[Tensor, "variant n column d_model"]
) -> Float[Tensor, "rows keep d_vocab"]:
    """Last logits of variants of a run's residuals, variant-major, in one pass.

    All but the first variant join the pass at the layer, so that keys and values of the columns
    before are not held once per variant.
    """
    tokens, first = run.tokens, run.first
    if run.past is not None:
        rest = {layer: variants[1:].flatten(0, 1)} if len(variants) > 1 else {}
        ids, before = tokens.ids[:, first:], run.before(first)
        window = Window(ids, tokens.mask, before, resid=variants[0], layer=layer, joining=rest)
        return runner.forward(window, keep=1).logits
    rows = torch.arange(len(tokens)).repeat(len(variants))
    suffix = variants.flatten(0, 1)
    edit = Edit(Point(layer), lambda x: torch.cat([x[:, :first], suffix.to(x)], dim=1))
    return runner.forward(Window(tokens.ids[rows], tokens.mask[rows]), [edit], keep=1).logits


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
