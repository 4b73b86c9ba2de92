"""A model that is trained, put back to its start and trained again, in one process."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from circuits import models
from circuits.answers import answers
from circuits.chat import Words
from circuits.devices import resolve_device
from circuits.templates import AS_IT_IS, Rendering, require_chat_template
from experiments.organisms.kept import Checkpoint
from experiments.organisms.training import Example, Settings, Tick, fast_precision, train, trainable


class Trainee:
    """A model with an adapter to be trained, or with all its parameters (rank 0).

    Attributes:
        tokenizer: the model's, or the one given, which may write chats otherwise.
        written: its chat template where that is not the model's own, otherwise "".
        sha256: hash of the base weights' files.
        seconds: what training to the present state took; NaN if that is not known.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        device: str = "auto",
        tokenizer: Any = None,
        rendering: Rendering = AS_IT_IS,
    ) -> None:
        place = resolve_device(device)
        hf_model, own, self.sha256 = models.read_plain(name, torch.float32, place)
        usual = own.chat_template
        self.tokenizer: Any = tokenizer
        if tokenizer is None:
            self.tokenizer = rendering.tokenizer(own, None, name)
        require_chat_template(self.tokenizer, name)
        template = self.tokenizer.chat_template
        self.written: str = "" if template == usual else template
        self.model: Any = trainable(hf_model, settings)
        self._start, self.seconds = self.state(), 0.0

    def state(self) -> dict[str, Tensor]:
        """Copies of the trained parameters, by name."""
        trained = self.model.named_parameters()
        return {name: p.detach().clone() for name, p in trained if p.requires_grad}

    def restart(self, state: Mapping[str, Tensor] | None = None, seconds: float = 0.0) -> None:
        """Put the trained parameters back to a state that took so long, or to the start."""
        self.seconds = seconds
        self.model.load_state_dict(self._start if state is None else dict(state), strict=False)

    def train(
        self,
        examples: Sequence[Example],
        settings: Settings,
        tick: Tick,
        checkpoint: Checkpoint | None = None,
    ) -> list[float]:
        """Train on examples; returns the loss of every step.

        Args:
            checkpoint: goes on with what was begun, and keeps what is reached.
        """
        start = time.perf_counter()
        losses = train(self.model, self.tokenizer, examples, settings, tick, checkpoint)
        self.seconds += time.perf_counter() - start + (checkpoint.seconds if checkpoint else 0.0)
        return losses

    def answers(self, texts: Sequence[str], words: Words, length: int) -> list[str]:
        """Greedy answers of at most ``length`` tokens, in the precision of training."""
        model = models.in_memory(self.model.eval(), self.tokenizer)
        with fast_precision(torch.device(model.runner.shape.device).type):
            return answers(model, texts, words, length)
