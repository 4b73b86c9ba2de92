"""How much memory is free on a device, within the limits of this process.

On Linux that is what the kernel calls available (pages of files count as free) and swap, and no
more than every control group above the process leaves it: a container's limit is one of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def free_bytes(device: str) -> int:
    """What could still be taken on a device, in bytes."""
    kind = torch.device(device).type
    if kind == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + idle
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    swap = psutil.swap_memory().free
    machine = psutil.virtual_memory().available + swap
    return max(0, int(min([machine, *(group.room(swap) for group in _groups())])))


@dataclass(frozen=True)
class _Group:
    """A control group: its folder, and its files for limit and use, of memory and of swap.

    The first version's second pair is of both together (``sum``), the second's of swap alone.
    """

    folder: Path
    memory: tuple[str, str]
    swap: tuple[str, str]
    sum: bool

    def room(self, swap: int) -> float:
        """Bytes that it leaves, with ``swap`` bytes free on the machine."""
        memory, more = self._left(*self.memory), self._left(*self.swap)
        cache = self._cache()
        if self.sum:
            return min(memory + swap, more) + cache
        return memory + cache + max(0, min(swap, more))

    def _left(self, limit: str, used: str) -> float:
        most, now = (_number(self.folder / name) for name in (limit, used))
        return float("inf") if most is None else most - (now or 0)

    def _cache(self) -> int:
        """Pages of files, which its limit counts and the system drops when memory is short."""
        try:
            lines = (self.folder / "memory.stat").read_text().splitlines()
        except OSError:
            return 0
        kept = {name: int(size) for name, size in (line.split() for line in lines)}
        above = "total_" if self.sum else ""
        return sum(kept.get(f"{above}{kind}_file", 0) for kind in ("inactive", "active"))


def _groups() -> Iterator[_Group]:
    """This process' control groups, each with those above it."""
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = _ROOT / "memory" if controllers else _ROOT
        inner = [part for part in own.split("/") if part]
        for depth in range(len(inner) + 1):
            folder = root.joinpath(*inner[:depth])
            yield _first(folder) if controllers else _second(folder)


def _first(folder: Path) -> _Group:
    names = [f"memory.{kind}_in_bytes" for kind in ("limit", "usage", "memsw.limit", "memsw.usage")]
    return _Group(folder, (names[0], names[1]), (names[2], names[3]), sum=True)


def _second(folder: Path) -> _Group:
    swap = ("memory.swap.max", "memory.swap.current")
    return _Group(folder, ("memory.max", "memory.current"), swap, sum=False)


def _number(path: Path) -> int | None:
    """A file's number; None where it has none (``max``), or there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
