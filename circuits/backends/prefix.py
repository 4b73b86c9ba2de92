"""What a batch of chats begins with, run once and read by every row.

Chats rendered by one template begin alike. The tokens that all rows share are run as one row, and
their keys and values serve every row. What follows is padded on its left, between the shared
opening and the row's own tokens, so that all rows end in one column; position ids count real tokens
only.

This is exact where attention depends on position ids and the mask alone. A sliding window counts
columns, the padding among them: there a prefix is shared only if everything fits into the window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from circuits.backends import arguments
from circuits.backends.cache import CachePast
from circuits.errors import UserError
from circuits.runner import Window


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with."""
    first, last = (tuple(row) for row in (min(rows, key=tuple), max(rows, key=tuple)))
    differing = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differing, min(len(first), len(last)))


def shares_prefix(model: Any, columns: int) -> bool:
    """Whether rows of at most ``columns`` columns, padding included, may share a prefix exactly.

    They may where every layer attends to all earlier columns, by itself or because its sliding
    window is no narrower than that; not where a layer keeps any other state.
    """
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    fits = not window or columns <= window
    return kinds <= {"full_attention", "sliding_attention"} and fits


@dataclass(frozen=True)
class Batch:
    """The rows' own tokens after the shared opening; the mask covers the opening too."""

    ids: Int[Tensor, "rows width"]
    mask: Bool[Tensor, "rows total"]


@dataclass(frozen=True)
class Opened:
    """A model that has read what all rows begin with, if anything."""

    model: Any
    pad: int
    past: CachePast | None

    @property
    def width(self) -> int:
        return self.past.width if self.past else 0

    def batch(self, rows: Sequence[Sequence[int]]) -> Batch:
        """Rows without the opening, padded on the left."""
        own = [row[self.width :] for row in rows]
        ids = torch.full((len(rows), max(map(len, own))), self.pad)
        mask = torch.ones(len(rows), self.width + ids.shape[1], dtype=torch.bool)
        for i, row in enumerate(own):
            ids[i, ids.shape[1] - len(row) :] = torch.tensor(row)
            mask[i, self.width : mask.shape[1] - len(row)] = False
        return Batch(ids, mask)

    def growing(self, rows: int) -> DynamicCache:
        """A cache to decode ``rows`` rows with."""
        # An explicit cache, because the model's own may drop columns outside a sliding window.
        past = self.past
        return past.rows(torch.zeros(rows, dtype=torch.long)).growing() if past else DynamicCache()

    def logits(
        self,
        batch: Batch,
        keep: int,
        cache: DynamicCache | None = None,
        embedded: Float[Tensor, "rows width d"] | None = None,
    ) -> Float[Tensor, "rows keep vocab"]:
        """Logits of the last columns; ``embedded`` is read in place of the batch's ids."""
        return self.run(batch, keep, cache, embedded).logits

    def run(
        self,
        batch: Batch,
        keep: int,
        cache: DynamicCache | None = None,
        embedded: Float[Tensor, "rows width d"] | None = None,
        **options: Any,
    ) -> Any:
        """The model's own output, as for ``logits``; ``options`` are passed on to it."""
        window = Window(batch.ids, batch.mask)
        given = arguments.arguments(window, keep, grow=False, device=str(self.model.device))
        if cache is None and self.past is not None:
            cache = self.past.frozen()
        given |= {"past_key_values": cache, "use_cache": cache is not None}
        if embedded is not None:
            del given["input_ids"]
            given["inputs_embeds"] = embedded
        return self.model(**given, **options)


def opening(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], room: int) -> Opened:
    """Run what the prompts begin with, once; ``room`` more tokens are to follow each.

    Raises:
        UserError: no prompts, an empty one, one too long for the model's context with its room, or
            a model in training mode.
    """
    arguments.require_evaluation(model)
    if not prompts or not all(prompts):
        raise UserError("prompts: expected at least one, none of them empty")
    columns = max(map(len, prompts)) + room
    context = getattr(model.config, "max_position_embeddings", None) or columns
    if columns > context:
        raise UserError(
            f"prompts: the longest and {room} tokens to answer are {columns} tokens, more than "
            f"the model's context of {context}; shorten it"
        )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    opened = Opened(model, int(pad or 0), None)
    # The last token is left to each row: from it the answer's first is predicted.
    shared = common_prefix([ids[:-1] for ids in prompts]) if len(prompts) > 1 else 0
    if not shared or not shares_prefix(model, columns):
        return opened
    cache = DynamicCache()
    opened.logits(opened.batch([prompts[0][:shared]]), keep=1, cache=cache)
    return Opened(model, opened.pad, CachePast.of(cache))
