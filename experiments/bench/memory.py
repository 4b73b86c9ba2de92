"""Peak memory of a call, read from the operating system (Linux) or the GPU's allocator."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measurable() -> bool:
    """Whether peaks can be measured here: on a GPU, or where Linux lets the peak be reset."""
    return torch.cuda.is_available() or (_STATUS.is_file() and _RESET.is_file())


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
    _trim()
    _RESET.write_text("5")
    before = _kib("VmRSS")
    call()
    return 1024 * max(0, _kib("VmHWM") - before)


def _trim() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _kib(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
