"""What a batch of chats begins with, run once and read by every row.

Chats rendered by one template begin alike. The tokens that all rows share are run as one row, and
their keys and values serve every row. What follows is padded on its left, between the shared
opening and the row's own tokens, so that all rows end in one column; position ids count real tokens
only.

This is exact where attention depends on position ids and the mask alone. A sliding window counts
columns, the padding among them: there a prefix is shared only if everything fits into the window.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from circuits.errors import UserError
from circuits.past import Past
from circuits.runner import Runner, Window
from circuits.tokens import padded

Prompts = Sequence[Sequence[int]]  # token ids, row by row


def common_prefix(rows: Prompts) -> int:
    """How many tokens all rows begin with."""
    first, last = (tuple(row) for row in (min(rows, key=tuple), max(rows, key=tuple)))
    differing = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differing, min(len(first), len(last)))


def shares_prefix(model: Any, columns: int) -> bool:
    """Whether rows of at most ``columns`` columns, padding included, may share a prefix exactly.

    They may where every layer attends to all earlier columns, by itself or because its sliding
    window is no narrower than that; not where a layer keeps any other state.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    fits = not window or columns <= window
    return kinds <= {"full_attention", "sliding_attention"} and fits


def by_length(prompts: Prompts, size: int) -> Iterator[list[int]]:
    """Indices by length, ``size`` at a time: rows of a like length need little padding."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    yield from (order[i : i + size] for i in range(0, len(order), size))


@dataclass(frozen=True)
class Opening:
    """What rows begin with, after it was run; nothing, without a past."""

    pad: int
    past: Past | None = None

    def window(self, rows: Prompts) -> Window:
        """Rows that begin with the opening, as one batch."""
        width = self.past.width if self.past else 0
        ids, own = padded([row[width:] for row in rows], self.pad)
        return Window(ids, torch.cat([own.new_ones(len(own), width), own], dim=1), self.past)

    def windows(self, rows: Prompts, size: int) -> Iterator[tuple[list[int], Window]]:
        """Rows of a like length, at most ``size`` at a time: their indices, and their window."""
        for chosen in by_length(rows, size):
            yield chosen, self.window([rows[i] for i in chosen])


@torch.no_grad()
def opening(runner: Runner, pad: int, prompts: Prompts, room: int) -> Opening:
    """Run what the prompts begin with, once; ``room`` more tokens are to follow each.

    Raises:
        UserError: no prompts, an empty one, one too long for the model's context with its room, or
            a model in training mode.
    """
    if not prompts or not all(prompts):
        raise UserError("prompts: expected at least one, none of them empty")
    columns = max(map(len, prompts)) + room
    if columns > runner.shape.context:
        raise UserError(
            f"prompts: the longest and {room} tokens to answer are {columns} tokens, more than "
            f"the model's context of {runner.shape.context}; shorten it"
        )
    # The last token is left to each row: from it the answer's first is predicted.
    shared = common_prefix([ids[:-1] for ids in prompts]) if len(prompts) > 1 else 0
    if not shared or not shares_prefix(runner.hf_model, columns):
        return Opening(pad)
    window = Opening(pad).window([prompts[0][:shared]])
    return Opening(pad, runner.forward(window, keep=1, grow=True).past)
