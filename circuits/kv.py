"""Keys and values of a Hugging Face cache as an immutable ``Past``, shared by the back-ends."""

import copy
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, cat
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class FrozenLayer(DynamicLayer):
    """Keys and values that are read but never grown.

    A batch that holds the layer's rows several times over (variants stacked along the batch) reads
    them repeated, one layer at a time, so that a shared prefix is never held once per variant.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        times = key_states.shape[0] // self.keys.shape[0]
        keys, values = (x.repeat(times, 1, 1, 1) for x in (self.keys, self.values))
        return cat([keys, key_states], dim=-2), cat([values, value_states], dim=-2)


@dataclass(frozen=True)
class CachePast:
    """A cache treated as immutable: every use works on a shallow copy."""

    cache: DynamicCache
    width: int

    @property
    def count(self) -> int:
        return self.cache.layers[0].keys.shape[0]

    def rows(self, index: Int[Tensor, " rows"]) -> "CachePast":
        chosen = self.growing()
        for layer in chosen.layers:
            layer.keys, layer.values = layer.keys[index], layer.values[index]
        return CachePast(chosen, self.width)

    def upto(self, width: int) -> "CachePast":
        cropped = self.growing()
        for layer in cropped.layers:
            layer.keys, layer.values = layer.keys[:, :, :width], layer.values[:, :, :width]
        return CachePast(cropped, width)

    def growing(self) -> DynamicCache:
        """A cache that may be grown: growing concatenates, so shared tensors stay as they are."""
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return cache

    def frozen(self) -> DynamicCache:
        """A cache that is only read."""
        cache = copy.copy(self.cache)
        cache.layers = [FrozenLayer(layer.keys, layer.values) for layer in self.cache.layers]
        return cache
