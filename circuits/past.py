"""Keys and values of earlier columns, immutable, whichever back-end computed them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import repeat
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class GrowingLayer(DynamicLayer):
    """Keys and values that are grown from, without a copy of their own."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values


class FrozenLayer(GrowingLayer):
    """Keys and values that are read but never grown.

    A batch that holds the layer's rows several times over (variants stacked along the batch) reads
    them repeated, one layer at a time, so that a shared prefix is never held once per variant.
    """

    keys: Tensor
    values: Tensor

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        times = key_states.shape[0] // self.keys.shape[0]
        keys = repeat(self.keys, "row ... -> (times row) ...", times=times)
        values = repeat(self.values, "row ... -> (times row) ...", times=times)
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)


@dataclass(frozen=True)
class Past:
    """Keys and values ``[rows, kv_head, width, d_head]`` of every layer; never written to.

    ``width`` is in columns, ``count`` in rows.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, cache: DynamicCache) -> "Past":
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

    def rows(self, index: Int[Tensor, " rows"]) -> "Past":
        """The chosen rows, in that order, repeats allowed."""
        return self._each(lambda x: x[index])

    def upto(self, width: int) -> "Past":
        """The first ``width`` columns only."""
        return self._each(lambda x: x[:, :, :width])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Past":
        return Past(tuple(map(change, self.keys)), tuple(map(change, self.values)))

    def growing(self, rows: int) -> DynamicCache:
        """A cache that may be grown, for whole blocks of its rows.

        Growing concatenates, so shared tensors stay as they are.
        """
        index = torch.arange(rows) % self.count
        return _cache(GrowingLayer, self if rows == self.count else self.rows(index))

    def frozen(self) -> DynamicCache:
        """A cache that is only read."""
        return _cache(FrozenLayer, self)


def _cache(layer: Callable[[Tensor, Tensor], DynamicLayer], past: Past) -> DynamicCache:
    cache = DynamicCache()
    cache.layers.extend(map(layer, past.keys, past.values))
    return cache
