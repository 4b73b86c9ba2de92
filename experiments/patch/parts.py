"""What is exchanged between two models: parts of a training's change, or of its activations.

Places are the trigger's tokens, the last token, and everywhere but there. To the cells that were
asked for come the same wholes in every run, by which cells are judged: all of it at single places
and at both, all attention and all MLPs, and what others have found to carry a trigger
(``experiments.patch.claims``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from circuits.align import Pairs
from circuits.edits.adapters import Change
from circuits.patching.cells import Cell, Place, parse
from circuits.patching.mixture import Part, is_attention, layer_of
from circuits.types import TokenBatch

PLACES = ("trigger", "last", "elsewhere")
EVERYWHERE, BOTH, ALL = "everywhere", "trigger and last", "all"
ATTENTION, MLP, DOWN = "attention", "MLP", "MLP down-projections"
_DOWN = ("down_proj", "fc2", "w2", "dense_4h_to_h", "mlp.c_proj")
# Heads of the embedded model's layers 23 and 24 of 30 were said here to carry the trigger.
_LATE, _OF = (23, 24), 30


@dataclass(frozen=True)
class Piece:
    """A part that is exchanged, and how it is called.

    Attributes:
        layer: None for all, or some.
        module: such as attention, MLP, q or head 3; a cell of activations as it was asked for.
        place: of ``PLACES``, or ``BOTH`` or ``EVERYWHERE``.
        what: a part of a change of weights, or a cell of activations.
    """

    layer: int | None
    module: str
    place: str
    what: Part | Cell

    @property
    def mapped(self) -> bool:
        """Whether it is a cell of the map, and no whole."""
        return self.layer is not None

    def __str__(self) -> str:
        layer = "" if self.layer is None else f"layer {self.layer} "
        where = {EVERYWHERE: "", "elsewhere": " elsewhere"}.get(self.place, f" at {self.place}")
        return f"{layer}{self.module}{where}"


def marked(pairs: Pairs) -> Pairs:
    """The pairs with a span for every column that is neither the trigger's nor the last."""
    return replace(pairs, clean=_marked(pairs.clean), triggered=_marked(pairs.triggered))


def _marked(side: TokenBatch) -> TokenBatch:
    spans = {**side.spans, BOTH: side.spans["trigger"] | side.spans["last"]}
    spans |= {"elsewhere": side.mask & ~spans[BOTH], EVERYWHERE: torch.ones_like(side.mask)}
    return replace(side, spans=spans)


def late_layers(n_layers: int) -> tuple[int, ...]:
    """Layers 23 and 24 of 30, or those at their depth."""
    return tuple(sorted({layer * n_layers // _OF for layer in _LATE}))


def late_name(n_layers: int) -> str:
    """How their attention is called."""
    layers = late_layers(n_layers)
    return f"attention of layer{'s' * (len(layers) > 1)} {' and '.join(map(str, layers))}"


def of_weights(change: Change, n_layers: int, by: str) -> tuple[Piece, ...]:
    """Parts of a change, the wholes first."""
    groups = {kind: modules for kind in (ATTENTION, MLP) if (modules := _modules(change, kind))}
    down = tuple(m for m in groups.get(MLP, ()) if m.rpartition(".")[2] in _DOWN or m in _DOWN)
    late = late_layers(n_layers)
    wholes = [_weights(None, ALL, place) for place in (*PLACES, BOTH)]
    wholes += [_weights(None, kind, EVERYWHERE, (), modules) for kind, modules in groups.items()]
    wholes += [_weights(None, DOWN, EVERYWHERE, (), down)] if down else []
    if ATTENTION in groups and _is_open(change, late, groups[ATTENTION]):
        wholes.append(_weights(None, late_name(n_layers), EVERYWHERE, late, groups[ATTENTION]))
    if by == "place":
        return tuple(wholes)
    if by == "module":
        groups = {_short(m): (m,) for modules in groups.values() for m in modules}
        wholes += [_weights(None, name, EVERYWHERE, (), m) for name, m in groups.items()]
    layers = sorted({layer for name in change if (layer := layer_of(name)) is not None})
    cells = (
        _weights(layer, name, place, (layer,), modules)
        for layer in layers
        for name, modules in groups.items()
        if _is_open(change, (layer,), modules)
        for place in PLACES
    )
    return (*wholes, *cells)


def _weights(
    layer: int | None,
    name: str,
    place: str,
    layers: tuple[int, ...] = (),
    modules: tuple[str, ...] = (),
) -> Piece:
    spans = () if place == EVERYWHERE else (place,)
    return Piece(layer, name, place, Part(layers, modules, spans))


def _is_open(change: Change, layers: tuple[int, ...], modules: tuple[str, ...]) -> bool:
    """Whether training has changed any of these modules."""
    return any(map(Part(layers, modules).holds, change))


def _modules(change: Change, kind: str) -> tuple[str, ...]:
    """The matrices of a layer that are of a kind, by the end of their names, in order."""
    names = [name for name in change if is_attention(name) == (kind == ATTENTION)]
    return tuple(dict.fromkeys(".".join(name.split(".")[-2:]) for name in names))


def _short(module: str) -> str:
    return module.rpartition(".")[2].removesuffix("_proj")


def of_activations(
    n_layers: int, n_heads: int, by: str, sites: Sequence[str] = ()
) -> tuple[Piece, ...]:
    """Cells of activations, the wholes first."""
    every, late = range(n_layers), late_layers(n_layers)
    outputs = {ATTENTION: ("attn_out",), MLP: ("mlp_out",), ALL: ("attn_out", "mlp_out")}
    wholes = [_cell(None, ALL, place, every, outputs[ALL]) for place in (*PLACES, BOTH)]
    wholes += [_cell(None, kind, EVERYWHERE, every, outputs[kind]) for kind in (ATTENTION, MLP)]
    wholes.append(_cell(None, late_name(n_layers), EVERYWHERE, late, ("attn_out",)))
    if sites:
        return (*wholes, *(Piece(None, site, EVERYWHERE, parse(site)) for site in sites))
    return (*wholes, *_activations(n_layers, n_heads, by))


def _activations(n_layers: int, n_heads: int, by: str) -> Iterator[Piece]:
    streams = {
        "layer": {ATTENTION: "attn_out", MLP: "mlp_out"},
        "residual": {"residual": "resid_pre"},
    }
    for layer in range(n_layers):
        for name, stream in streams.get(by, {}).items():
            for place in PLACES:
                yield _cell(layer, name, place, [layer], (stream,))
        for head in range(n_heads if by == "head" else 0):
            what = (Place(layer, "z", heads=(head,)),)
            yield Piece(layer, f"head {head}", EVERYWHERE, what)


def _cell(
    layer: int | None, name: str, place: str, layers: Iterable[int], streams: Sequence[str]
) -> Piece:
    span = None if place == EVERYWHERE else place
    what = tuple(Place(at, stream, span=span) for at in layers for stream in streams)
    return Piece(layer, name, place, what)
