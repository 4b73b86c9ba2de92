"""What training changed, switched on and off: module by module, and token by token.

A fine-tuned matrix is its base plus a change. ``Mixture`` runs a model with the change added in
some columns of some rows, so base (nowhere), organism (everywhere) and everything between are
exact: no activation is moved, no direction is fitted. On the organism, the change's negative takes
it away.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import repeat
from jaxtyping import Bool
from torch import Tensor, nn

from circuits.backends.hooks import Removable, hooked
from circuits.edits.adapters import Change, LowRank
from circuits.errors import expect
from circuits.runner import Output, Runner, Shape, Window
from circuits.types import Edit, Point, TokenBatch

_LAYER = re.compile(r"\.(\d+)\.")
# By the module's name: where its change is on; a module without a row is off everywhere.
Switches = Mapping[str, Bool[Tensor, "rows pos"]]


@dataclass(eq=False)
class Mixture:
    """A :class:`circuits.runner.Runner`: a model with a change of weights that is on in places.

    Attributes:
        runner: of the model, whose modules are left as they are.
        change: of its matrices, by the module's name.
        on: absolute columns of the batch in which a module's change is on, rows as in a window;
            fewer rows than a window has are those of whole blocks, as a past's.
    """

    runner: Runner
    change: Change
    on: Switches
    shape: Shape = field(init=False)
    hf_model: Any = field(init=False)

    def __post_init__(self) -> None:
        self.shape, self.hf_model = self.runner.shape, self.runner.hf_model

    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        """See :class:`circuits.runner.Runner`."""
        expect(not window.joining, "a window that no rows join", "one that some do", of="mixture")
        with hooked(self._handles(window)):
            return self.runner.forward(window, edits, record, keep, grow)

    def _handles(self, window: Window) -> Iterator[Removable]:
        modules = dict(self.hf_model.named_modules())
        for name, columns in self.on.items():
            here = columns[:, window.start : window.mask.shape[1]]
            if bool(here.any()):
                add = partial(_add, self.change[name], here)
                yield modules[name].register_forward_hook(add)


def _add(
    change: LowRank, on: Bool[Tensor, "rows pos"], _module: nn.Module, args: tuple, out: Tensor
) -> Tensor:
    (x,) = args
    on = repeat(on.to(x.device), "row pos -> (times row) pos 1", times=len(x) // len(on))
    down, up = change.down.to(x), change.up.to(x)
    return out + on * (x @ down.T @ up.T)


@dataclass(frozen=True)
class Part:
    """A part of a change: the modules of some layers, in the columns of some spans.

    Attributes:
        layers, modules: of the change; empty is all. A module is named by the last parts of its
            name (``q_proj``, ``mlp.down_proj``).
        spans: of the prompts; empty is every column.
        elsewhere: every column but those of ``spans``.
    """

    layers: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    elsewhere: bool = False

    def __str__(self) -> str:
        what = " ".join(self.modules) or "every module"
        layers = f" of layers {', '.join(map(str, self.layers))}" if self.layers else ""
        where = f" {'off' if self.elsewhere else 'at'} {' and '.join(self.spans)}"
        return what + layers + (where if self.spans else "")

    def names(self, change: Change) -> list[str]:
        """The modules that are meant, in the change's order.

        Raises:
            UserError: there are none.
        """
        names = [name for name in change if self.holds(name)]
        expect(names, "modules that the change has", f"none of {self}", of="interchange")
        return names

    def holds(self, name: str) -> bool:
        """Whether a module is meant, wherever in the prompts."""
        inside = not self.layers or layer_of(name) in self.layers
        named = (name == module or name.endswith(f".{module}") for module in self.modules)
        return inside and (not self.modules or any(named))

    def columns(self, tokens: TokenBatch) -> Bool[Tensor, "rows pos"]:
        """Where it is, in every row.

        Raises:
            UserError: the prompts have no such span.
        """
        there = torch.zeros_like(tokens.mask)
        for span in self.spans:
            known = sorted(tokens.spans)
            expect(span in tokens.spans, f"a span of {known}", span, of="interchange")
            there |= tokens.spans[span]
        return there != self.elsewhere if self.spans else torch.ones_like(tokens.mask)


def layer_of(name: str) -> int | None:
    """The layer that a module stands in; None for one outside of the blocks."""
    match = _LAYER.search(name)
    return int(match[1]) if match else None


def is_attention(name: str) -> bool:
    """Whether a module is one of attention, by its name; the others of a layer are its MLP's."""
    return "attn" in name.lower() or "attention" in name.lower()
