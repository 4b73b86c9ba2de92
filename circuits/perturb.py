"""A model made slightly worse in a known way: rounded, pruned or noisy weights, noisy activations.

What a model does for one prompt in particular may be less robust than what it does in general.
These are the standard ways of asking: weights rounded to few bits (round to nearest, one scale per
row or per group of inputs: the baseline in GPTQ, Frantar et al. 2023, arXiv 2210.17323), the
smallest weights set to zero (Han et al. 2015, arXiv 1506.02626), Gaussian noise on the weights, and
Gaussian noise on the residual stream.

The weights changed are those of all linear layers but the unembedding; embeddings, norms and biases
stay. New models are copies, which share what stays: the one given stays bit-identical, also under
noisy activations.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from circuits.architectures import blocks_of
from circuits.backends.hooks import hooked
from circuits.backends.plain import attach
from circuits.errors import expect
from circuits.shared import put, shared_copy
from circuits.types import Point

Matrix = Float[Tensor, "out inputs"]
_BITS = range(2, 9)


def rounded_weights(model: Any, bits: int, group: int | None = None) -> Any:
    """A copy with weights rounded to the nearest of the values that signed ``bits`` bits hold.

    Args:
        model: a plain causal language model.
        bits: 2 to 8.
        group: inputs that share a scale; None for one scale per row (per output).

    Raises:
        UserError: other bits, or a matrix whose inputs are no whole number of groups.
    """
    expect(bits in _BITS, f"{_BITS[0]} to {_BITS[-1]}", bits, of="bits")
    return _with_matrices(model, lambda weight: rounded(weight, bits, group))


def rounded(weight: Matrix, bits: int, group: int | None = None) -> Matrix:
    """Symmetric rounding to nearest, in fp32: multiples of the largest absolute value of a row (or
    of a group of its inputs) over ``2 ** (bits - 1) - 1``, without a zero point."""
    size = weight.shape[1] if group is None else group
    expect(
        size >= 1 and weight.shape[1] % size == 0,
        "a size that divides all rows into whole groups",
        f"{group} for rows of {weight.shape[1]} inputs",
        of="group",
    )
    groups = rearrange(weight, "out (group input) -> out group input", input=size)
    scale = groups.abs().amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.where(scale > 0, (groups / scale).round() * scale, groups).flatten(1)


def pruned(model: Any, share: float) -> Any:
    """A copy in which every matrix has its smallest weights set to zero.

    ``share`` (0 to 1) of each matrix's weights, to the nearest whole number, are zero; of equal
    absolute values those that come first go first.

    Raises:
        UserError: another share.
    """
    expect(0 <= share <= 1, "0 to 1", share, of="share")
    return _with_matrices(model, lambda weight: _without_smallest(weight, share))


def noisy_weights(model: Any, scale: float, seed: int) -> Any:
    """A copy with independent Gaussian noise on the weights.

    The noise has ``scale`` times the standard deviation of the weights of the same matrix, and is
    drawn on the CPU, matrix by matrix: a seed means the same noise on every device.

    Raises:
        UserError: a negative or infinite scale.
    """
    expect(0 <= scale < math.inf, "a number from 0 on", scale, of="scale")
    generator = torch.Generator().manual_seed(seed)

    def noisy(weight: Matrix) -> Matrix:
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        return weight + scale * weight.std(correction=0) * noise

    return _with_matrices(model, noisy)


@contextmanager
def noisy_activations(model: Any, scale: float, seed: int) -> Iterator[None]:
    """Gaussian noise on the residual stream leaving every block, while the context is open.

    In each of a token's channels it has ``scale`` times the root mean square of that token's
    residual; it is drawn on the CPU in the order of passes and blocks, so it is the same again only
    for the same passes. What a pass runs once for all rows has one noise for all of them, and a
    cache filled under noise stays noisy. Nothing is written in place; the hooks are gone
    afterwards, also after an error.

    Raises:
        UserError: a negative or infinite scale, or an architecture whose blocks are not known.
    """
    expect(0 <= scale < math.inf, "a number from 0 on", scale, of="scale")
    generator = torch.Generator().manual_seed(seed)

    def noisy(resid: Tensor) -> Tensor:
        noise = torch.randn(resid.shape, generator=generator).to(resid)
        return resid + scale * resid.float().square().mean(-1, True).sqrt().to(resid) * noise

    layers = range(len(blocks_of(model)[0])) if scale else []
    with hooked(attach(model, Point(layer, "resid_post"), noisy) for layer in layers):
        yield


def _without_smallest(weight: Matrix, share: float) -> Matrix:
    sizes = weight.abs().flatten()
    count = round(share * sizes.numel())
    if count == 0:
        return weight
    # The largest of those to go; a partition takes a tenth of the time of a sort.
    largest = float(np.partition(sizes.cpu().numpy(), count - 1)[count - 1])
    gone = sizes < largest
    equal = (sizes == largest).nonzero().squeeze(1)
    gone[equal[: count - int(gone.sum())]] = True
    return weight.masked_fill(gone.view_as(weight), 0)


@torch.no_grad()
def _with_matrices(model: Any, change: Callable[[Matrix], Matrix]) -> Any:
    """A copy of a model, its linear layers' weights changed as fp32 ``[out, inputs]``; it shares
    the rest."""
    new = shared_copy(model)
    unembedding = new.get_output_embeddings()
    for module in new.modules():
        if isinstance(module, nn.Linear | Conv1D) and module is not unembedding:
            # GPT-2 keeps its inputs as rows.
            rows = isinstance(module, nn.Linear)
            changed = change((module.weight if rows else module.weight.T).float())
            put(module, "weight", changed if rows else changed.T)
    return new
