"""Greedy answers a token at a time, with and without edits, and what each token reads at a point.

Both answers are rows of one batch: a pass on a small model is bound by reading its weights, so the
second answer costs little, and the edit touches its row only. The projection of every token comes
from the pass that processes it, recorded after the edits: it is what later layers read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.runner import Runner, Window
from circuits.types import Direction, Edit, TokenBatch


@dataclass(frozen=True)
class Step:
    """One pass over the unedited row and, if there are edits, the edited one below it.

    Attributes:
        logits: of the next token.
        readings: projections (residual units) of the tokens that this pass processed; None
            without a direction. The first pass processes the prompt, others one token.
        following: the next tokens, greedily.
        ended: rows whose answer is complete, as a stop token was chosen now or before.
    """

    logits: Float[Tensor, "rows d_vocab"]
    readings: Float[Tensor, "rows width"] | None
    following: tuple[int, ...]
    ended: tuple[bool, ...]


@torch.no_grad()
def stream(
    runner: Runner,
    tokens: TokenBatch,
    edits: Sequence[Edit] = (),
    direction: Direction | None = None,
    stop: Sequence[int] = (),
) -> Iterator[Step]:
    """Passes without end, until every row has ended or the caller stops asking.

    Args:
        tokens: one prompt.
        edits: of the second row; without any there is only one row, the model as it is.
        direction: what is read, at its layer.
        stop: tokens that end an answer.
    """
    record = [direction.site.point] if direction is not None else []
    rows = 2 if edits else 1
    below = [_second_row(edit) for edit in edits]
    mask = tokens.mask.repeat(rows, 1)
    window, ended = Window(tokens.ids.repeat(rows, 1), mask), (False,) * rows
    while not all(ended):
        out = runner.forward(window, below, record, keep=1, grow=True)
        logits = out.logits[:, -1].float().cpu()
        readings = None
        if direction is not None:
            acts = out.acts[direction.site.point].float()
            readings = (acts @ direction.vector.to(acts)).cpu()
        following = tuple(logits.argmax(dim=-1).tolist())
        pairs = zip(ended, following, strict=True)
        ended = tuple(before or token in stop for before, token in pairs)
        yield Step(logits, readings, following, ended)
        mask = torch.cat([mask, torch.ones(rows, 1, dtype=torch.bool)], dim=1)
        window = Window(torch.tensor(following)[:, None], mask, out.past)


def _second_row(edit: Edit) -> Edit:
    """The edit of a batch of one prompt, on the second row of two."""

    def apply(x: Tensor) -> Tensor:
        return torch.cat([x[:1], edit.apply(x[1:])])

    columns = edit.columns
    return replace(edit, apply=apply, columns=columns if columns is None else columns.repeat(2, 1))
