"""How a model's weights are held once its adapter is merged: as is, in few bits, elsewhere."""

from dataclasses import dataclass
from typing import Any

import torch

from circuits.devices import resolve_device, resolve_dtype
from circuits.errors import expect
from circuits.offload import WORD, offload, room
from circuits.quantised import quantise, require_load
from circuits.stored import multiplies, widen


@dataclass(frozen=True)
class Holding:
    """What is done to a model in memory before a back-end has it.

    Attributes:
        load: int8 or nf4; "" for weights as they are.
        stored: the precision that they are read in, and ``device`` where they are run.
        offloaded: whether layers that do not fit there are kept in memory or on disk.
    """

    load: str
    stored: torch.dtype
    device: str
    offloaded: bool = False

    @property
    def place(self) -> str:
        """Where weights are read to."""
        return "cpu" if self.offloaded else self.device

    def apply(self, hf_model: Any) -> None:
        """Change a model that nobody else holds.

        Raises:
            UserError: it has nothing to pack, or does not fit.
        """
        if self.load:
            quantise(hf_model, self.load)
        elif self.offloaded:
            offload(hf_model, self.device, room(self.device))
        elif not multiplies(self.stored, self.device):
            widen(hf_model)


def as_asked(load: str, dtype: str, device: str) -> Holding:
    """By the words that a user says.

    Raises:
        UserError: an unknown word, a package that is missing, or two that do not go together.
    """
    require_load(load)
    offloaded = device == WORD
    both = f"--device {WORD} and --load {load}"
    expect(not (load and offloaded), "one of two", both, "leave one out", "loading")
    place = resolve_device("auto" if offloaded else device)
    return Holding(load, resolve_dtype(dtype, place), place, offloaded)
