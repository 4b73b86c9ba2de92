"""Runs of aligned pairs from their first difference on, kept so that variants can be resumed.

Everything before the first difference is shared by clean, triggered and every variant: its keys
and values are computed once. Residuals entering every layer are kept, so a variant that changes
layer l starts at layer l.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UserError
from circuits.runner import Past, Runner, Window, prefix
from circuits.types import Point, TokenBatch, TokenPairs


@dataclass(frozen=True)
class SuffixRun:
    """One unedited run of the columns from ``first`` on.

    Attributes:
        tokens: the whole batch.
        first: the first column of the suffix.
        resid: residuals entering every layer.
        acts: the stream that was asked for, at every layer (``resid`` itself by default).
        logits: of the last column.
        past: keys and values of the whole batch, for resuming at later columns.
    """

    tokens: TokenBatch
    first: int
    resid: Float[Tensor, "layer n column d_model"]
    acts: Float[Tensor, "layer n column *rest"]
    logits: Float[Tensor, "n 1 d_vocab"]
    past: Past

    @property
    def width(self) -> int:
        """How many columns the suffix has."""
        return self.tokens.width - self.first

    def before(self, column: int) -> Past | None:
        """Keys and values of the columns before ``column`` (absolute); None before column 0."""
        return self.past.upto(column) if column else None


@torch.no_grad()
def run_suffix(
    runner: Runner, tokens: TokenBatch, first: int, stream: str = "resid_pre"
) -> SuffixRun:
    """Run a batch, keeping what is needed to resume from column ``first`` on."""
    layers = range(runner.shape.n_layers)
    points = {Point(layer, s) for layer in layers for s in ("resid_pre", stream)}
    window = Window(tokens.ids[:, first:], tokens.mask, prefix(runner, tokens, first))
    out = runner.forward(window, record=sorted(points), keep=1, grow=True)
    assert out.past is not None  # grow asks for it
    resid = torch.stack([out.acts[Point(layer)] for layer in layers])
    acts = torch.stack([out.acts[Point(layer, stream)] for layer in layers])
    if not bool(torch.isfinite(resid).all()):
        raise UserError("activations: expected finite residuals, got NaN or infinity; check dtype")
    return SuffixRun(tokens, first, resid, acts, out.logits, out.past)


def run_pairs(
    runner: Runner, pairs: TokenPairs, stream: str = "resid_pre"
) -> tuple[SuffixRun, SuffixRun]:
    """The clean and the triggered run of aligned pairs.

    Raises:
        UserError: the pairs do not differ anywhere.
    """
    first = pairs.first_difference
    if first == pairs.clean.width:
        raise UserError("pairs: clean and triggered are equal; check trigger and control words")
    return (
        run_suffix(runner, pairs.clean, first, stream),
        run_suffix(runner, pairs.triggered, first, stream),
    )
