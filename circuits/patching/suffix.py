"""Runs of pairs from their first difference on, kept so that variants can be resumed.

Everything before the first difference is shared by clean, triggered and every variant: its keys
and values are computed once. Residuals entering every layer are kept, so a variant that changes
layer l starts at layer l. A model on which the fast path does not hold
(``circuits.backends.fastpath``) is run whole instead: same results, nothing shared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits import align
from circuits.align import Pairs, Side, SpanPairs
from circuits.backends.fastpath import fast_path
from circuits.edits.operators import on_columns
from circuits.errors import UserError
from circuits.runner import Past, Runner, Window, prefix, whole
from circuits.types import Point, TokenBatch


@dataclass(frozen=True)
class SuffixRun:
    """One unedited run of the columns from ``first`` on.

    Attributes:
        tokens: the whole batch.
        first: the first column of the suffix.
        resid: residuals entering every layer.
        acts: the points that were asked for.
        logits: of the last columns that were asked for.
        past: keys and values of the whole batch, for resuming at later columns; None where the
            fast path does not hold.
    """

    tokens: TokenBatch
    first: int
    resid: Float[Tensor, "layer n column d_model"]
    acts: Mapping[Point, Float[Tensor, "n column *rest"]]
    logits: Float[Tensor, "n keep d_vocab"]
    past: Past | None

    @property
    def width(self) -> int:
        """How many columns the suffix has."""
        return self.tokens.width - self.first

    def before(self, column: int) -> Past | None:
        """Keys and values of the columns before ``column`` (absolute); None before column 0."""
        return self.past.upto(column) if self.past is not None and column else None


@dataclass(frozen=True)
class Sides:
    """The run patched into, and the run patched from in its columns.

    Attributes:
        base: the run patched into.
        acts: the source's activations; where a column has no counterpart, the base's own.
        logits: the source's, of the last columns that were asked for.
        source_tokens: the source's batch.
        defined: columns that have a counterpart.
    """

    base: SuffixRun
    acts: Mapping[Point, Float[Tensor, "n column *rest"]]
    logits: Float[Tensor, "n keep d_vocab"]
    source_tokens: TokenBatch
    defined: Bool[Tensor, "n column"]


@torch.no_grad()
def run_suffix(
    runner: Runner,
    tokens: TokenBatch,
    first: int,
    points: Iterable[Point] = (),
    keep: int = 1,
    *,
    shared: bool = True,
) -> SuffixRun:
    """Run a batch, keeping what is needed to resume from column ``first`` on.

    Raises:
        UserError: residuals are not finite.
    """
    layers = range(runner.shape.n_layers)
    wanted = sorted({Point(layer) for layer in layers} | set(points))
    window = whole(tokens)
    if shared:
        window = Window(tokens.ids[:, first:], tokens.mask, prefix(runner, tokens, first))
    out = runner.forward(window, record=wanted, keep=keep, grow=shared)
    skipped = 0 if shared else first
    acts = {point: act[:, skipped:] for point, act in out.acts.items()}
    resid = torch.stack([acts[Point(layer)] for layer in layers])
    real = tokens.mask[:, first:].to(resid.device)
    if not bool(torch.isfinite(resid[:, real]).all()):
        raise UserError("activations: expected finite residuals, got NaN or infinity; check dtype")
    return SuffixRun(tokens, first, resid, acts, out.logits, out.past)


def run_pairs(runner: Runner, pairs: Pairs) -> tuple[SuffixRun, SuffixRun]:
    """The clean and the triggered run of pairs (``run_side``)."""
    return run_side(runner, pairs, "clean"), run_side(runner, pairs, "triggered")


def run_side(runner: Runner, pairs: Pairs, side: Side, since: str | None = None) -> SuffixRun:
    """The run of one side of pairs, from its first difference on.

    A span ``since`` that begins earlier is covered as well.

    Raises:
        UserError: the pairs do not differ anywhere.
    """
    tokens = pairs.clean if side == "clean" else pairs.triggered
    first = _differing(align.first_of(pairs, side), tokens)
    if since is not None:
        first = min(first, int(tokens.spans[since].any(dim=0).nonzero()[0]))
    return run_suffix(runner, tokens, first, keep=tokens.keep, shared=fast_path(runner).holds)


def _differing(first: int, tokens: TokenBatch) -> int:
    """The first column that differs, refused if there is none."""
    if first == tokens.width:
        raise UserError("pairs: clean and triggered are equal; check trigger and control words")
    return first


def run_sides(
    runner: Runner,
    pairs: Pairs,
    direction: str,
    points: Iterable[Point] = (),
    keep: int = 1,
    *,
    shared: bool = True,
    further: Iterable[Point] = (),
    source: Runner | None = None,
) -> Sides:
    """Both runs of a patching experiment, the source's activations in the base's columns.

    ``further`` points are kept of the base run only. ``source`` runs the side patched from, if it
    is another model: then columns differ from the first on.

    Raises:
        UserError: the pairs do not differ anywhere, or activations are not finite.
    """
    base_tokens, source_tokens = pairs.clean, pairs.triggered
    if direction == "noising":
        base_tokens, source_tokens = source_tokens, base_tokens
    points = list(points)
    if isinstance(pairs, SpanPairs):
        counterpart = pairs.counterpart(base_tokens, source_tokens)
        first = align.first_difference(base_tokens, source_tokens, counterpart)
    else:
        counterpart, first = None, pairs.first_difference
    first = 0 if source else _differing(first, base_tokens)
    other = source or runner
    base = run_suffix(runner, base_tokens, first, [*points, *further], keep, shared=shared)
    if counterpart is None:
        taken = run_suffix(other, source_tokens, first, points, keep, shared=shared)
        defined = torch.ones(len(base_tokens), base.width, dtype=torch.bool)
        return Sides(base, taken.acts, taken.logits, source_tokens, defined)
    taken = run_suffix(other, source_tokens, 0, points, keep, shared=shared)
    here = counterpart[:, first:]
    acts = {p: _gathered(taken.acts[p], base.acts[p], here) for p in taken.acts}
    return Sides(base, acts, taken.logits, source_tokens, here >= 0)


def _gathered(
    source: Float[Tensor, "n pos *rest"],
    base: Float[Tensor, "n column *rest"],
    counterpart: Int[Tensor, "n column"],
) -> Float[Tensor, "n column *rest"]:
    """The source's activations in the base's columns; the base's own where there are none."""
    there = counterpart.to(source.device)
    rows = torch.arange(len(source), device=source.device)[:, None]
    return on_columns(lambda _: source[rows, there.clamp(min=0)], base, there >= 0)
