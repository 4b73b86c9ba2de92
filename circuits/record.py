"""Recorded activations: at named spans, at the last token of every layer, the largest reading."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.backends.prefix import Opening, Prompts
from circuits.errors import UserError
from circuits.models import Model
from circuits.runner import Runner, Window
from circuits.tokens import pad_id
from circuits.types import Point, Progress, Site, TokenBatch, quiet

_ROWS = 32  # run at once
_FINE = 2048  # below which half precision has steps of 1 at most


@torch.no_grad()
def record(
    runner: Runner, tokens: TokenBatch, sites: Sequence[Site], progress: Progress = quiet
) -> Float[Tensor, "sites n d_model"]:
    """Activations at the last token of each site's span, on the CPU in fp32.

    Raises:
        UserError: a span is not in the batch, or the model lacks a stream.
    """
    points = sorted({site.point for site in sites})
    columns = {span: tokens.span_column(span) for span in {site.span for site in sites}}
    parts = []
    for start in range(0, len(tokens), _ROWS):
        rows = torch.arange(start, min(start + _ROWS, len(tokens)))
        out = runner.forward(Window(tokens.ids[rows], tokens.mask[rows]), record=points, keep=1)
        here = torch.arange(len(rows))
        parts.append(
            torch.stack(
                [out.acts[s.point][here, columns[s.span][rows]].float().cpu() for s in sites]
            )
        )
        progress(int(rows[-1]) + 1, len(tokens))
    return torch.cat(parts, dim=1)


@torch.no_grad()
def last_residuals(model: Model, prompts: Prompts) -> Float[Tensor, "layers n d_model"]:
    """The residual stream entering each layer (``resid_pre``) at each prompt's last token.

    On the CPU in fp32. What all prompts begin with is run once.

    Raises:
        UserError: no prompts, an empty one, or one too long for the model with its answer.
    """
    opening, shape = model.opening(prompts, 1), model.runner.shape
    points = [Point(layer) for layer in range(shape.n_layers)]
    residuals = torch.empty(shape.n_layers, len(prompts), shape.d_model)
    for chosen, window in opening.windows(prompts, _ROWS):
        acts = model.runner.forward(window, record=points).acts
        residuals[:, chosen] = torch.stack([acts[p][:, -1].float().cpu() for p in points])
    return residuals


@torch.no_grad()
def readings(
    model: Model, prompts: Prompts, unit: Float[Tensor, " d_model"], layer: int, start: int
) -> Float[Tensor, " n"]:
    """The largest projection on a unit direction among each prompt's tokens from ``start`` on.

    Read in the residual stream entering ``layer``, in residual units; on the CPU in fp32.

    Raises:
        UserError: no prompts, or one that ends before ``start``.
    """
    if not prompts or min(map(len, prompts)) <= start:
        raise UserError(f"readings: expected prompts of more than {start} tokens")
    point, highest = Point(layer), torch.zeros(len(prompts))
    opening = Opening(pad_id(model.tokenizer))  # tokens that all begin with are read as well
    for chosen, window in opening.windows(prompts, _ROWS):
        resid = model.runner.forward(window, record=[point]).acts[point]
        highest[chosen] = largest(resid, unit, window.mask, start).cpu()
    return highest


def largest(
    resid: Float[Tensor, "rows pos d"],
    unit: Float[Tensor, " d"],
    mask: Bool[Tensor, "rows pos"],
    start: int,
) -> Float[Tensor, " rows"]:
    """The largest projection among each row's real tokens from its ``start``-th on."""
    real = mask.to(resid.device)
    read = real & (real.long().cumsum(dim=1) > start)
    projected = resid.float() @ unit.to(resid.device, torch.float32)
    return projected.masked_fill(~read, float("-inf")).amax(dim=1)


def narrowed(acts: Float[Tensor, "sites n d"]) -> Float[Tensor, "sites n d"]:
    """In half precision, unless that would lose more than its usual rounding.

    Above 65,504 it has no numbers and near there steps of 32, in which differences vanish; below
    6e-5 it loses digits.
    """
    half, sizes = acts.half(), acts.flatten(1).norm(dim=1)
    lost = (half.float() - acts).flatten(1).norm(dim=1)
    fits = float(acts.abs().max()) < _FINE and bool((lost <= 2**-10 * sizes).all())
    return half if fits else acts
