"""A model that is trained, put back to its start and trained again, in one process."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from circuits import models
from circuits.tokens import batch, render
from experiments.organisms.training import Example, Settings, Tick, fast_precision, train, trainable

_ROWS = 50


class Trainee:
    """A model with an adapter to be trained, or with all its parameters (rank 0).

    Attributes:
        tokenizer: the model's.
        sha256: hash of the base weights' files.
        seconds: what training to the present state took; NaN if that is not known.
    """

    def __init__(self, name: str, settings: Settings, device: str = "auto") -> None:
        place = models.resolve_device(device)
        hf_model, self.tokenizer, self.sha256 = models.load_plain(name, torch.float32, place)
        self.model: Any = trainable(hf_model, settings)
        self.stop_ids = models.stop_ids(hf_model, self.tokenizer)
        self._start, self.seconds = self.state(), 0.0

    def state(self) -> dict[str, Tensor]:
        """Copies of the trained parameters, by name."""
        trained = self.model.named_parameters()
        return {name: p.detach().clone() for name, p in trained if p.requires_grad}

    def restart(self, state: Mapping[str, Tensor] | None = None, seconds: float = 0.0) -> None:
        """Put the trained parameters back to a state that took so long, or to the start."""
        self.seconds = seconds
        self.model.load_state_dict(self._start if state is None else dict(state), strict=False)

    def train(self, examples: Sequence[Example], settings: Settings, tick: Tick) -> list[float]:
        """Train on examples; returns the loss of every step."""
        start = time.perf_counter()
        losses = train(self.model, self.tokenizer, examples, settings, tick)
        self.seconds += time.perf_counter() - start
        return losses

    @torch.inference_mode()
    def answers(
        self, texts: Sequence[str], words: Sequence[str | None] | str | None, length: int
    ) -> list[str]:
        """Greedy answers of at most ``length`` tokens, in the precision of training."""
        each = [words] * len(texts) if words is None or isinstance(words, str) else words
        said: list[str] = []
        rows = [render(self.tokenizer, text, word) for text, word in zip(texts, each, strict=True)]
        device = next(self.model.parameters()).device
        for start in range(0, len(rows), _ROWS):
            tokens = batch(self.tokenizer, rows[start : start + _ROWS])
            with fast_precision(device.type):
                ids = self.model.generate(
                    input_ids=tokens.ids.to(device),
                    attention_mask=tokens.mask.long().to(device),
                    max_new_tokens=length,
                    do_sample=False,
                    eos_token_id=list(self.stop_ids),
                    pad_token_id=self.tokenizer.pad_token_id,
                )
            new = ids[:, tokens.width :]
            said += self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return said
