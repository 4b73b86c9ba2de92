"""One layer of a model on a few random tokens, run in variants that are rows of one pass."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from circuits.runner import Output, Runner, Window
from circuits.types import Edit, Point

_WIDTH = 4


class Layer:
    """A layer, and two rows of tokens of which the second is shorter by some padding."""

    def __init__(self, runner: Runner, number: int) -> None:
        self.runner, self.number = runner, number
        random = torch.Generator().manual_seed(0)
        self.ids = torch.randint(0, runner.shape.d_vocab, (2, _WIDTH), generator=random)
        self.mask = torch.ones(2, _WIDTH, dtype=torch.bool)
        self.mask[1, 0] = False

    def at(self, stream: str) -> Point:
        return Point(self.number, stream)

    @property
    def one(self) -> Window:
        """The first row."""
        return Window(self.ids[:1], self.mask[:1])

    def run(
        self, window: Window, variants: Sequence[Sequence[Edit]], record: Iterable[str] = ()
    ) -> Output:
        """One pass in which every variant has the window's rows, one block below the other."""
        rows = len(window.ids)
        edits = [
            Edit(edit.point, partial(_within, edit.apply, rows * block, rows))
            for block, variant in enumerate(variants)
            for edit in variant
        ]
        ids, mask = (x.repeat(len(variants), 1) for x in (window.ids, window.mask))
        return self.runner.forward(Window(ids, mask), edits, [self.at(s) for s in record])


def _within(apply: Callable[[Tensor], Tensor], start: int, rows: int, x: Tensor) -> Tensor:
    """``x`` with some rows edited."""
    end = start + rows
    return torch.cat([x[:start], apply(x[start:end]), x[end:]])


def one_of_each(runner: Runner) -> list[int]:
    """Of the layers that are built alike the middle one, for every kind that a model has."""
    blocks = getattr(runner, "blocks", None)  # a runner that does not tell has one kind
    kinds: dict[tuple, list[int]] = {}
    for number in range(runner.shape.n_layers):
        parts = blocks[number].named_modules() if blocks else ()
        kinds.setdefault(tuple((name, type(part)) for name, part in parts), []).append(number)
    return [alike[len(alike) // 2] for alike in kinds.values()]
