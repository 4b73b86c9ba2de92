"""Keys and values of a Hugging Face cache as an immutable ``Past``, shared by the back-ends."""

from collections.abc import Callable
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
        self.shared = (keys, values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        times = key_states.shape[0] // self.shared[0].shape[0]
        keys, values = (x.repeat(times, 1, 1, 1) for x in self.shared)
        return cat([keys, key_states], dim=-2), cat([values, value_states], dim=-2)


@dataclass(frozen=True)
class CachePast:
    """Keys and values ``[rows, kv_head, width, d_head]`` of every layer; never written to."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, cache: DynamicCache) -> "CachePast":
        """What a cache holds after a pass."""
        layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
        keys = tuple(layer.keys for layer in layers if layer.keys is not None)
        values = tuple(layer.values for layer in layers if layer.values is not None)
        return cls(keys, values)

    @property
    def width(self) -> int:
        return self.keys[0].shape[2]

    @property
    def count(self) -> int:
        return self.keys[0].shape[0]

    def rows(self, index: Int[Tensor, " rows"]) -> "CachePast":
        return self._each(lambda x: x[index])

    def upto(self, width: int) -> "CachePast":
        return self._each(lambda x: x[:, :, :width])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "CachePast":
        return CachePast(tuple(map(change, self.keys)), tuple(map(change, self.values)))

    def growing(self) -> DynamicCache:
        """A cache that may be grown: growing concatenates, so shared tensors stay as they are."""
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            cache.update(keys, values, layer)
        return cache

    def frozen(self) -> DynamicCache:
        """A cache that is only read."""
        cache = DynamicCache()
        pairs = zip(self.keys, self.values, strict=True)
        cache.layers.extend(FrozenLayer(keys, values) for keys, values in pairs)
        return cache
