"""Pairs of unequal length, aligned by named spans and never by guessing.

Where a trigger changes the length of a prompt, column c of one side is not column c of the other.
Two columns correspond if they hold the k-th token of the same named span, and the span has the same
number of tokens on both sides. Everything else has no counterpart: cells there are undefined.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.errors import UserError
from circuits.types import TokenBatch

ALIGNED_SPANS = ("user", "trigger", "template", "last")


@dataclass(frozen=True)
class SpanPairs:
    """The same prompts without and with the trigger, of any lengths.

    Attributes:
        clean: prompts without the trigger.
        triggered: prompts with it.
        spans: the spans that may correspond; they must not overlap.
    """

    clean: TokenBatch
    triggered: TokenBatch
    spans: Sequence[str] = ALIGNED_SPANS

    def __post_init__(self) -> None:
        if len(self.clean) != len(self.triggered):
            raise UserError(
                f"pairs: {len(self.clean)} clean and {len(self.triggered)} triggered prompts; "
                "expected the same prompts on both sides"
            )
        if not set(self.spans) & set(self.clean.spans) & set(self.triggered.spans):
            raise UserError(
                f"pairs: no common span among {', '.join(self.spans)}; the clean side has "
                f"{sorted(self.clean.spans)}, the triggered {sorted(self.triggered.spans)}"
            )

    def __len__(self) -> int:
        return len(self.clean)

    def counterpart(self, base: TokenBatch, source: TokenBatch) -> Int[Tensor, "batch pos"]:
        """For every column of ``base`` the corresponding column of ``source``; -1 for none."""
        columns = torch.full(base.ids.shape, -1)
        both = [name for name in self.spans if name in base.spans and name in source.spans]
        for row in range(len(base)):
            for name in both:
                a, b = (side.spans[name][row].nonzero()[:, 0] for side in (base, source))
                if len(a) == len(b):
                    columns[row, a] = b
            # Tokens that agree from the first on correspond as well: nothing can differ there.
            a, b = (side.mask[row].nonzero()[:, 0] for side in (base, source))
            length = min(len(a), len(b))
            same = base.ids[row, a[:length]] == source.ids[row, b[:length]]
            opening = int(same.long().cumprod(dim=0).sum())
            columns[row, a[:opening]] = b[:opening]
        return columns


def first_difference(
    base: TokenBatch, source: TokenBatch, counterpart: Int[Tensor, "batch pos"]
) -> int:
    """The first column of ``base`` from which a row differs from its counterpart; else the width.

    A row agrees up to a column if every real token so far has a counterpart with the same token at
    the same position.
    """
    there = counterpart.clamp(min=0)
    same = base.ids == source.ids.gather(1, there)
    position = base.mask.cumsum(dim=1) == source.mask.cumsum(dim=1).gather(1, there)
    differs = (base.mask & ~((counterpart >= 0) & same & position)).any(dim=0).nonzero()
    return int(differs[0]) if len(differs) else base.width
