"""Pairs of any lengths, aligned by named spans and never by guessing.

Where a trigger changes the length of a prompt, column c of one side is not column c of the other.
Two columns correspond if they hold the k-th token of the same named span, and the span has the same
number of tokens on both sides. Everything else has no counterpart: cells there are undefined.

What is moved from one side's span into the other's, whatever their lengths, is matched token by
token from the spans' ends (``matched``); with equal lengths both are the same columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import UserError, expect
from circuits.types import SAID, TokenBatch, TokenPairs

ALIGNED_SPANS = ("user", "trigger", "template", "last")
Side = Literal["clean", "triggered"]


@dataclass(frozen=True)
class SpanPairs:
    """The same prompts without and with the trigger, of any lengths.

    Attributes:
        clean: prompts without the trigger.
        triggered: prompts with it.
        spans: the spans that may correspond; they must not overlap. Where an answer is begun, what
            says it stands for ``last``.
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

    def rows(self, index: "slice | Tensor | list[int]") -> "SpanPairs":
        """The chosen pairs, as batches of the same widths."""
        return replace(self, clean=self.clean.rows(index), triggered=self.triggered.rows(index))

    def counterpart(self, base: TokenBatch, source: TokenBatch) -> Int[Tensor, "batch pos"]:
        """For every column of ``base`` the corresponding column of ``source``; -1 for none."""
        columns = torch.full(base.ids.shape, -1)
        said = SAID in base.spans and SAID in source.spans
        names = [SAID if said and name == "last" else name for name in self.spans]
        both = [name for name in names if name in base.spans and name in source.spans]
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


Pairs = TokenPairs | SpanPairs


def paired(clean: TokenBatch, triggered: TokenBatch) -> Pairs:
    """The same prompts on both sides, by columns where they are alike in length, else by spans."""
    alike = torch.equal(clean.mask, triggered.mask) and all(
        torch.equal(clean.spans[name], triggered.spans[name])
        for name in ALIGNED_SPANS
        if name in clean.spans and name in triggered.spans
    )
    return TokenPairs(clean, triggered) if alike else SpanPairs(clean, triggered)


def equal(pairs: Pairs, of: str, advice: str = "") -> TokenPairs:
    """Pairs whose columns are aligned.

    Raises:
        UserError: they are of unequal lengths; of what, and what to do.
    """
    got = "a trigger and control words of several"
    expect(isinstance(pairs, TokenPairs), "pairs of equal token lengths", got, advice, of)
    return cast(TokenPairs, pairs)


def first_of(pairs: Pairs, side: Side) -> int:
    """The first column of one side at which any pair differs; its width if none does."""
    if isinstance(pairs, TokenPairs):
        return pairs.first_difference
    base, source = pairs.clean, pairs.triggered
    if side == "triggered":
        base, source = source, base
    return first_difference(base, source, pairs.counterpart(base, source))


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


def counted(columns: Tensor) -> Int[Tensor, "n column"]:
    """A span's columns ``[n, column]`` counted from its last, which is 1; zero elsewhere."""
    return columns.flip(1).cumsum(dim=1).flip(1) * columns


def matched(base: TokenBatch, source: TokenBatch, span: str) -> Int[Tensor, "batch pos"]:
    """For every column of a span of ``base`` one of the same span of ``source``.

    The k-th from the span's end is the k-th from the end there; where the source has fewer, its
    first. So equal spans are matched column by column. Columns outside of it have its last.

    Raises:
        UserError: a row of the source has no such span.
    """
    ends, own = source.span_column(span), counted(base.spans[span])
    back = torch.minimum(own, counted(source.spans[span]).amax(dim=1, keepdim=True))
    # Spans of several pieces have columns between them, so the k-th is looked up, not subtracted.
    places = torch.full((len(source), int(back.max()) + 1), -1)
    rows, columns = source.spans[span].nonzero(as_tuple=True)
    number = counted(source.spans[span])[rows, columns]
    near = number < places.shape[1]
    places[rows[near], number[near]] = columns[near]
    there = places.gather(1, back)
    return torch.where(own > 0, there, ends[:, None])


def moved(
    source: Float[Tensor, "n column d"], columns: Int[Tensor, "n here"]
) -> Float[Tensor, "n here d"]:
    """The source's activations at the columns given, row by row."""
    there = columns.to(source.device).clamp(min=0)
    return source[torch.arange(len(source), device=source.device)[:, None], there]


def fewest(pairs: Pairs, span: str = "trigger") -> int:
    """The fewest tokens that a span has in any prompt of either side."""
    sides = (pairs.clean, pairs.triggered)
    return min(int(side.spans[span].sum(dim=1).min()) for side in sides)


def widened(tokens: TokenBatch, width: int) -> TokenBatch:
    """The batch padded on the left to a width."""
    more = width - tokens.width
    if not more:
        return tokens

    def wider(x: Tensor) -> Tensor:
        return torch.cat([x.new_zeros(len(x), more), x], dim=1)

    spans = {name: wider(columns) for name, columns in tokens.spans.items()}
    return TokenBatch(wider(tokens.ids), wider(tokens.mask), spans, tokens.texts)
