"""Variants of a kept run, resumed at the layer that they change, in passes of bounded size.

Variants are whole residuals entering a layer, ``[variant, n, column, d_model]``, in the run's
columns; they are stacked along the batch. Where the fast path does not hold
(``circuits.backends.fastpath``) a variant is a whole pass with these columns replaced.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import UserError
from circuits.metrics import checked
from circuits.patching.engine import finite, tokens_per_forward
from circuits.patching.suffix import SuffixRun
from circuits.runner import Runner, Window
from circuits.types import Edit, Metric, Point, Progress, Site, TokenBatch, quiet

Residuals = Float[Tensor, "variant n column d_model"]


def require_site(site: Site, n_layers: int, *sides: TokenBatch) -> None:
    """Refuse a site whose variants cannot be resumed.

    Raises:
        UserError: another stream than ``resid_pre``, no such layer, or no such span in a side.
    """
    if site.stream != "resid_pre" or not 0 <= site.layer < n_layers:
        raise UserError(f"gate at {site}: expected resid_pre of a layer in 0..{n_layers - 1}")
    for side in sides:
        side.span_column(site.span)  # refuses a span that is not in every row


def resume(
    runner: Runner, run: SuffixRun, layer: int, variants: Residuals
) -> Float[Tensor, "variant n keep d_vocab"]:
    """What variants of a run's residuals entering a layer say: logits, differentiable."""
    parts = variants.split(_room(runner, run))
    return torch.cat([_resumed(runner, run, layer, part) for part in parts])


def measure(
    runner: Runner,
    run: SuffixRun,
    site: Site,
    count: int,
    variants: Callable[[Int[Tensor, " some"]], Residuals],
    metric: Metric,
    progress: Progress = quiet,
) -> Float[Tensor, "count n"]:
    """The metric of every variant at a site's layer, on the CPU.

    ``variants`` makes those of the numbers that it is given, so that only a pass of them is held.

    Raises:
        UserError: a value is not finite.
    """
    parts = []
    for which in torch.arange(count).split(_room(runner, run)):
        logits = _resumed(runner, run, site.layer, variants(which))
        scores = checked(metric, rearrange(logits, "variant n ... -> (variant n) ..."))
        parts.append(rearrange(scores, "(variant n) -> variant n", variant=len(which)).cpu())
        progress(int(which[-1]) + 1, count)
    return finite(torch.cat(parts).float(), f"gate at {site}")


def _room(runner: Runner, run: SuffixRun) -> int:
    """How many variants a pass may hold."""
    width = run.width if run.past is not None else run.tokens.width
    return max(1, tokens_per_forward(runner.shape) // (len(run.tokens) * width))


def _resumed(
    runner: Runner, run: SuffixRun, layer: int, variants: Residuals
) -> Float[Tensor, "variant n keep d_vocab"]:
    """One pass. All variants but the first join it at the layer, so that what is below runs once,
    and keys and values of the columns before are not held once per variant."""
    tokens, first, stacked = run.tokens, run.first, "variant n ... -> (variant n) ..."
    if run.past is not None:
        joining = {layer: rearrange(variants[1:], stacked)} if len(variants) > 1 else {}
        ids, before = tokens.ids[:, first:], run.before(first)
        window, edits = Window(ids, tokens.mask, before, variants[0], layer, joining), []
    else:
        rows = torch.arange(len(tokens)).repeat(len(variants))
        window = Window(tokens.ids[rows], tokens.mask[rows])
        suffix = rearrange(variants, stacked)
        whole = Edit(Point(layer), lambda x: torch.cat([x[:, :first], suffix.to(x)], dim=1))
        edits = [whole]
    logits = runner.forward(window, edits, keep=tokens.keep).logits
    return rearrange(logits, "(variant n) ... -> variant n ...", variant=len(variants))
