"""GGUF files read by transformers, at a tenth of its time.

Reading the vocabulary, gguf slices a memory map once for every word, and each slice of a map is as
dear as an object; transformers reads the file three times, and makes the same table of tensor
names anew for every module. Within ``quick`` the map is a plain array, and both are made once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import gguf
import numpy as np


class _Reader(gguf.GGUFReader):
    """A reader whose data are a plain array over the memory map."""

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, mapped: Any) -> None:
        self._data = mapped.view(np.ndarray)


@contextmanager
def quick() -> Iterator[None]:
    """While this is open, gguf reads a file once, and quickly; the files' content is the same."""
    usual = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    gguf.GGUFReader = cache(_Reader)
    gguf.get_tensor_name_map = cache(usual["get_tensor_name_map"])
    try:
        yield
    finally:
        for name, value in usual.items():
            setattr(gguf, name, value)


@contextmanager
def counted(tick: Callable[[int], None]) -> Iterator[None]:
    """While this is open, ``tick`` is told how many weights have been dequantised so far."""
    usual, done = gguf.dequantize, 0

    def dequantize(data: Any, kind: Any) -> Any:
        nonlocal done
        values = usual(data, kind)
        done += values.size
        tick(done)
        return values

    gguf.dequantize = dequantize
    try:
        yield
    finally:
        gguf.dequantize = usual
