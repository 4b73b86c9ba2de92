"""A model larger than its device: layers that do not fit are kept in memory or on disk.

accelerate brings a layer's weights to the device when the layer runs, and takes them away after;
the sums are the same, so results are equal. Embeddings and the matrix of the logits stay there.
"""

import tempfile
from collections.abc import Mapping
from typing import Any

from torch import nn

from circuits.cache import cache_root, writable
from circuits.errors import expect
from circuits.free import free_bytes
from circuits.memory import gib, require_disk

WORD = "auto-offload"  # as a device
_SHARE = 0.8  # of what is free may be weights


def room(device: str) -> dict[str, int]:
    """Bytes that weights may take on a device, and in memory beside it."""
    return {place: int(_SHARE * free_bytes(place)) for place in dict.fromkeys((device, "cpu"))}


def offload(model: Any, device: str, most: Mapping[str, int]) -> None:
    """Put as many of a model's layers on a device as fit, then in memory, the others on disk.

    Args:
        most: bytes of weights on the device and on the CPU.

    Raises:
        UserError: not even what stands outside of the layers fits, or the disk is full.
    """
    from accelerate import dispatch_model

    layers = _layers(model)
    names = {id(layer): name for name, layer in model.named_modules()}
    sizes = [sum(p.numel() * p.element_size() for p in layer.parameters()) for layer in layers]
    inside = {id(p) for layer in layers for p in layer.parameters()}
    outside = [p for p in model.parameters() if id(p) not in inside]
    rest = sum(p.numel() * p.element_size() for p in outside)
    wanted = f"{gib(rest)} of {gib(most[device])} on {device} for what stands outside of the layers"
    expect(rest <= most[device], wanted, "less", "give a smaller model", f"--device {WORD}")
    left = {**most, device: most[device] - rest}
    places: dict[str, Any] = {
        name: device for name, module in model.named_modules() if _is_outside(module, layers)
    }
    for layer, size in zip(layers, sizes, strict=True):
        place = next((p for p in left if size <= left[p]), "disk")
        if place in left:
            left[place] -= size
        places[names[id(layer)]] = place
    placed = [places[names[id(layer)]] for layer in layers]
    on_disk = sum(size for size, place in zip(sizes, placed, strict=True) if place == "disk")
    with writable(cache_root()):
        cache_root().mkdir(parents=True, exist_ok=True)
        require_disk(on_disk, cache_root(), f"--device {WORD}")
        folder = tempfile.TemporaryDirectory(prefix="offload-", dir=cache_root())
        main: Any = device  # accelerate compares it with words
        dispatch_model(model, places, main, offload_dir=folder.name, force_hooks=True)
    model.kept_on_disk = folder  # goes with the model
    model.offloaded_to = places


def _layers(model: Any) -> list[Any]:
    """The model's blocks, whatever its architecture: the longest list of modules."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return list(max(lists, key=len))


def _is_outside(module: Any, layers: list[Any]) -> bool:
    """Whether a module holds tensors itself, or is a leaf, and stands in no layer."""
    inner = {id(each) for layer in layers for each in layer.modules()}
    return id(module) not in inner and not any(True for _ in module.children())


def is_offloaded(model: Any) -> bool:
    """Whether some of a model's weights are brought to its device only when they are used."""
    return hasattr(model, "offloaded_to")
