"""A back-end whose passes are the Hugging Face model's own, edited and recorded by torch hooks.

Caches, masks and position ids behave as they do there. Resuming at a layer makes the blocks below
it the identity for one call and hands the residuals to the block. A back-end adds only where its
hooks go (:meth:`HookedRunner.attach`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from circuits.backends import arguments
from circuits.backends.streams import Streams
from circuits.past import Past
from circuits.runner import Output, Shape, Window
from circuits.types import Edit, Point

Change = Callable[[Tensor], Tensor]


@runtime_checkable
class Removable(Protocol):
    """What ends a hook."""

    def remove(self) -> None: ...


@contextmanager
def hooked(handles: Iterable[Removable]) -> Iterator[None]:
    """Hooks that are gone when the context closes, also after an error.

    ``handles`` may attach them one by one as it is read.
    """
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


class HookedRunner(ABC):
    """A :class:`circuits.runner.Runner` by hooks.

    Logits carry gradients where the residuals or embeddings that a pass starts from require them.
    """

    shape: Shape
    hf_model: Any
    streams: Streams

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Any]:
        """The modules of the layers."""

    @abstractmethod
    def attach(self, point: Point, change: Change) -> Removable:
        """Let an activation, as the model holds it, become what ``change`` makes of it.

        Raises:
            UserError: the architecture does not have it, or the layer does not exist.
        """

    def forward(
        self,
        window: Window,
        edits: Sequence[Edit] = (),
        record: Sequence[Point] = (),
        keep: int = 1,
        grow: bool = False,
    ) -> Output:
        call = arguments.arguments(self.hf_model, window, edits, keep, grow)
        acts: dict[Point, Tensor] = {}
        hooks = self._handles(window, edits, record, acts)
        with arguments.gradients(window), self._skipped(window), hooked(hooks):
            out = self.hf_model(**call)
        return Output(out.logits, acts, Past.of(call["past_key_values"]) if grow else None)

    def _handles(
        self,
        window: Window,
        edits: Sequence[Edit],
        record: Sequence[Point],
        acts: dict[Point, Tensor],
    ) -> Iterator[Removable]:
        """Hooks at one place run in the order in which they are attached."""
        d_head = self.shape.d_head
        for layer in range(min(window.joining, default=self.shape.n_layers), self.shape.n_layers):
            enter = partial(entering, partial(arguments.joined, window, layer), len(window.ids))
            yield self.blocks[layer].register_forward_pre_hook(enter, with_kwargs=True)
        if window.resid is not None:
            yield self.attach(Point(window.layer), partial(arguments.resumed, window.resid))
        for edit in edits:
            if edit.point.layer >= window.layer:
                change = partial(arguments.edited, edit, start=window.start, d_head=d_head)
                yield self.attach(edit.point, change)
        for point in record:
            yield self.attach(point, partial(_kept, acts, point, d_head))

    @contextmanager
    def _skipped(self, window: Window) -> Iterator[None]:
        """The blocks below the layer that is resumed are the identity."""
        skipped = self.blocks[: window.layer] if window.resid is not None else []
        own = [block.__dict__.get("forward") for block in skipped]  # where accelerate has put one
        for block in skipped:
            block.__dict__["forward"] = _identity
        try:
            yield
        finally:
            for block, forward in zip(skipped, own, strict=True):
                del block.__dict__["forward"]
                if forward is not None:
                    block.__dict__["forward"] = forward


def entering(
    change: Change, rows: int | None, _module: nn.Module, args: tuple, kwargs: dict
) -> tuple[tuple, dict]:
    """A hook that changes what enters a module (see :func:`arguments.changed_input`)."""
    return arguments.changed_input(args, kwargs, change, rows)


def leaving(change: Change, _module: nn.Module, _args: tuple, out: Any) -> Any:
    """A hook that changes what leaves a module, or the first of it."""
    return change(out) if isinstance(out, Tensor) else (change(out[0]), *out[1:])


def _kept(acts: dict[Point, Tensor], point: Point, d_head: int, x: Tensor) -> Tensor:
    acts[point] = arguments.recorded(point.stream, x, d_head)
    return x


def _identity(hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
    return hidden_states
