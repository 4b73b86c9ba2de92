"""What a model would say next after every carrier prompt with every candidate in its place.

For one carrier, all candidates share the template and the text before the word, which is run once
(``circuits.backends.prefix``); a candidate costs its own tokens and the template's last ones, and
the logits of one position. Of each distribution the entropy and the likeliest tokens are kept.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.chat import Place, messages, placed
from circuits.models import Model, in_memory
from circuits.tokens import prompt_ids
from probes.scanning import Reading

KEPT = 8  # tokens kept of a distribution: their tail is too flat to be an answer's opening
_ROWS = 128  # run at once

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Reader:
    """A model that is asked for its next token; the place is the candidates'."""

    model: Model
    place: Place = "suffix"

    def read(self, words: Sequence[str], carriers: Sequence[str], tick: Tick) -> Reading:
        """Every candidate in every carrier.

        Raises:
            UserError: a chat does not fit the model, or its template alters a message.
        """
        parts, total = [], len(carriers) * len(words)
        for done, carrier in enumerate(carriers):
            chunks: list[Reading] = []
            for logits in self._logits(words, carrier):
                chunks.append(_kept(logits))
                tick(done * len(words) + sum(len(c.entropy) for c in chunks), total)
            parts.append(Reading.joined(chunks, dim=0))
        return Reading.joined(parts, dim=1)

    @torch.no_grad()
    def _logits(self, words: Sequence[str], carrier: str) -> Iterator[Float[Tensor, "rows vocab"]]:
        rows = self.encoded(carrier, words)
        opening = self.model.opening(rows, 1)
        for start in range(0, len(rows), _ROWS):
            window = opening.window(rows[start : start + _ROWS])
            yield self.model.runner.forward(window).logits[:, -1].float()

    @property
    def vocab(self) -> int:
        """How many tokens it gives a probability."""
        return int(self.model.runner.hf_model.get_output_embeddings().weight.shape[0])

    def rounded(self, dtype: torch.dtype) -> "Reader":
        """A copy of the model in another precision; the same model where it has that one."""
        own = self.model.runner.hf_model
        if own.dtype == dtype:
            return self
        return Reader(in_memory(copy.deepcopy(own).to(dtype), self.model.tokenizer), self.place)

    def encoded(self, carrier: str, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The chats of a carrier with each word in its place."""
        put = [placed(word, self.place) for word in words]
        return prompt_ids(self.model.tokenizer, messages([carrier] * len(put), put))


def _kept(logits: Float[Tensor, "rows vocab"]) -> Reading:
    """Entropies and likeliest tokens of some words in one carrier."""
    log_p = logits.log_softmax(dim=-1)
    p = log_p.exp()
    best = p.topk(min(KEPT, p.shape[1]), dim=-1)
    kept = (-(p * log_p).sum(dim=-1), best.indices, best.values)
    return Reading(*(part.cpu()[:, None] for part in kept))
