"""The nnsight back-end: the only file that imports ``nnsight``.

A pass is one trace of the Hugging Face model. Inside it, steps run in the order in which the model
reaches their activations: rows join or resume where they enter a block, and at every point that is
edited or recorded the activation is read, edited, copied and written back. Blocks below a resumed
layer are skipped. Attention patterns belong to no module; they are found as an operation in the
source of the attention function.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from inspect import getsource
from typing import Any

import torch
from jaxtyping import Float
from nnsight import register, save
from nnsight.intervention.interleaver import OutOfOrderError
from nnsight.modeling.transformers import TransformersModel
from torch import Tensor, nn

from circuits.architectures import (
    ARCHITECTURES,
    Slot,
    blocks_of,
    kv_heads,
    part_of,
    slots_of,
    submodule,
    with_part,
)
from circuits.backends import arguments
from circuits.backends.arguments import edited, recorded
from circuits.backends.remote import require_hub_id, require_whole, sendable
from circuits.backends.streams import Streams
from circuits.errors import UserError
from circuits.past import Past
from circuits.runner import Output, Window
from circuits.types import Edit, Point

_ATTEND = "attention_interface"
_UNNAMED = "the weights pass through no function that this back-end can name"
_Step = Callable[[], Tensor | None]


class NNsightRunner:
    """A :class:`circuits.runner.Runner` over nnsight's ``TransformersModel``."""

    def __init__(
        self, hf_model: nn.Module, tokenizer: Any, name: str, *, remote: bool | str = False
    ) -> None:
        """
        Args:
            hf_model: a causal language model with eager attention.
            tokenizer: its tokenizer; left as it is.
            name: what the user calls the model.
            remote: run passes on nnsight's servers (True, or a host's address), which hold the
                hub's weights: an adapter merged here is not there. ``"local"`` is nnsight's dry
                run of that: everything is sent, but to this process.

        Raises:
            UserError: an architecture that this back-end does not know, or a model that no server
                can have.
        """
        config: Any = hf_model.config
        if config.model_type not in ARCHITECTURES:
            raise UserError(
                f"model {name}: the nnsight back-end knows {', '.join(ARCHITECTURES)}, got "
                f"{config.model_type}; use the transformer_lens back-end"
            )
        self.remote = remote
        if remote:
            if remote != "local":
                require_hub_id(hf_model, name)
            register("circuits")  # our classes travel with the trace: servers lack the package
        self.model = TransformersModel(
            hf_model, tokenizer=copy.deepcopy(tokenizer), task="text-generation"
        )
        row = ARCHITECTURES[config.model_type]
        self.hf_model, self.shape = hf_model, arguments.shape_of(hf_model)
        self._blocks, self._n_kv = self.model.get(row.path), kv_heads(config.get_text_config())
        self._slots = {s: at for s, at in slots_of(hf_model).items() if self._named(at)}
        lacks = {} if "pattern" in self._slots else {"pattern": _UNNAMED}
        self.streams = Streams(name, tuple(self._slots), lacks | dict(row.lacks))

    @property
    def blocks(self) -> Sequence[Any]:
        """The modules of the layers."""
        return blocks_of(self.hf_model)[0]

    def _named(self, slot: Slot) -> bool:
        """Whether attention is a function of transformers', whose operations have names."""
        attention = submodule(self.blocks[0], slot.module)
        return slot.side != "pattern" or _ATTEND in getsource(type(attention).forward)

    @torch.no_grad()
    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        if self.remote:
            require_whole(window, grow)
        call = arguments.arguments(self.hf_model, window, edits, keep, grow)
        wanted = [p for p in dict.fromkeys(record) if self._reached(p, window)]
        steps = self._steps(window, edits, wanted)
        try:
            logits, found = self._traced(call, steps)
        except OutOfOrderError as error:
            raise UserError(
                f"trace: expected every edited or recorded activation in the pass, but {error}; "
                "use the transformer_lens back-end"
            ) from error
        acts = dict(zip(sorted(wanted, key=self._rank), found, strict=True))
        return Output(logits, acts, Past.of(call["past_key_values"]) if grow else None)

    def _traced(
        self, call: dict[str, Any], steps: Sequence[_Step]
    ) -> tuple[Float[Tensor, "batch keep d_vocab"], list[Tensor]]:
        """Run the steps inside one trace; logits, and what the steps returned.

        nnsight runs the body below elsewhere: it must name plain local variables only.
        """
        model, remote = self.model, self.remote
        perform, steps = sendable((_performed, steps)) if remote else (_performed, steps)
        logits: Any = None
        found: list[Tensor] = []
        with model.trace(remote=remote, **call):
            found = save(perform(steps))
            logits = save(model.output.logits)
        return logits, found

    def slot(self, point: Point) -> Slot:
        """Where an activation is found.

        Raises:
            UserError: the architecture does not have it, or the layer does not exist.
        """
        arguments.require_point(point, self.shape.n_layers, self.streams)
        return self._slots[point.stream]

    def _reached(self, point: Point, window: Window) -> bool:
        """Whether a pass over the window reaches the point (checked), or starts above it."""
        self.slot(point)
        return window.resid is None or point.layer >= window.layer

    def _rank(self, point: Point) -> tuple[int, int]:
        return point.layer, list(self._slots).index(point.stream)

    def _steps(self, window: Window, edits: Sequence[Edit], wanted: Sequence[Point]) -> list[_Step]:
        """What a trace does, in the order in which the model runs."""
        by_point: dict[Point, list[Edit]] = {point: [] for point in wanted}
        for edit in edits:
            if edit.point.layer >= window.layer and self._reached(edit.point, window):
                by_point.setdefault(edit.point, []).append(edit)
        steps: dict[tuple[int, int], _Step] = {
            self._rank(point): partial(
                _at_slot,
                self._blocks[point.layer],
                self.slot(point),
                point.stream,
                here,
                window.start,
                (self.shape.n_heads, self._n_kv),
                self.shape.d_head,
                point in wanted,
            )
            for point, here in by_point.items()
        }
        for layer in self._entered(window):
            steps[layer, -1] = partial(_enter, self._blocks[layer], window, layer)
        read = [(p.layer, self.slot(p)) for p in by_point if self.slot(p).side == "pattern"]
        steps[-1, 0] = partial(_open, [self._blocks[layer].get(at.module) for layer, at in read])
        return [steps[rank] for rank in sorted(steps)]

    def _entered(self, window: Window) -> set[int]:
        """The layers at whose entry rows join, are resumed, skip, or need their masks repeated."""
        joined = range(min(window.joining, default=self.shape.n_layers), self.shape.n_layers)
        return {*joined, *(range(window.layer + 1) if window.resid is not None else ())}


# The functions below run inside a trace, where reading an envoy waits until the model is there.


def _performed(steps: Sequence[_Step]) -> list[Tensor]:
    return [found for step in steps if (found := step()) is not None]


def _open(modules: Sequence[Any]) -> None:
    """Make the operations of modules visible, which must happen before the model is in them."""
    for module in modules:
        _ = module.source


def _enter(block: Any, window: Window, layer: int) -> None:
    """Change what enters a block; below the resumed layer, let it leave at once."""

    def change(hidden: Tensor) -> Tensor:
        hidden = arguments.joined(window, layer, hidden)
        if window.resid is not None and layer == window.layer:
            hidden = arguments.resumed(window.resid, hidden)
        return hidden

    args, kwargs = block.inputs
    args, kwargs = arguments.changed_input(args, kwargs, change, window.ids.shape[0])
    block.inputs = args, kwargs
    if window.resid is not None and layer < window.layer:
        block.skip(args[0])


def _at_slot(
    block: Any,
    slot: Slot,
    stream: str,
    edits: Sequence[Edit],
    start: int,
    counts: tuple[int, int],
    d_head: int,
    record: bool,
) -> Tensor | None:
    """Apply the edits in order and return a copy of the activation, if it is recorded."""
    holder, side = _holder(block, slot)
    value = getattr(holder, side)
    first = value[0] if isinstance(value, tuple) else value
    x = part_of(first, slot, *counts)
    for edit in edits:
        x = edited(edit, x, start, d_head)
    if edits:
        whole = with_part(first, x, slot, *counts)
        setattr(holder, side, (whole, *value[1:]) if isinstance(value, tuple) else whole)
    return recorded(stream, x, d_head) if record else None


def _holder(block: Any, slot: Slot) -> tuple[Any, str]:
    """The envoy that holds an activation, and the name of its attribute there."""
    envoy = block.get(slot.module) if slot.module else block
    if slot.side != "pattern":
        return envoy, slot.side
    source = envoy.source
    attend = [n for n in source.names if n.startswith(f"{_ATTEND}_")][-1]
    # The last operation on the weights before they meet the values; without training, an identity.
    return getattr(source, attend).source.nn_functional_dropout_0, "output"
