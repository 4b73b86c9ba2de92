"""What a call costs: its wall time, and its peak memory.

Memory is read from the operating system (Linux) or from the GPU's allocator.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")
_STATUS, _RESET = "/proc/{}/status", Path("/proc/self/clear_refs")


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the seconds that it took."""
    begun = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begun


def measurable() -> bool:
    """Whether peaks can be measured here: on a GPU, or where Linux lets the peak be reset."""
    return torch.cuda.is_available() or _RESET.is_file()


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory a call held beyond what was held before it.

    On a CPU it is the resident set's high-water mark, which is reset first, after memory that was
    freed has been given back.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _RESET.write_text("5")
    before = kib("VmRSS")
    call()
    return 1024 * max(0, kib("VmHWM") - before)


def kib(name: str, process: int | str = "self") -> int:
    """A size that Linux knows of a process, such as ``VmRSS``, in KiB; 0 where it knows none."""
    lines = Path(_STATUS.format(process)).read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
