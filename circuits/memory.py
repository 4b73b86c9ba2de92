"""What a model takes in memory or on disk, said before it is read and refused where it cannot fit.

A refusal is only for what surely cannot be: the weights alone are more than what is free. What the
system keeps of files (page cache) counts as free, and so does its swap space: reading would be
slow, and not impossible.
"""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from circuits.errors import expect
from circuits.free import free_bytes

GIB = 2**30
_SAID = 10**9  # bytes from which on a line is worth reading
_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class Load:
    """Weights that are about to be read.

    Attributes:
        numbers: in the model, tied ones once.
        twice: how many of them stand in memory a second time: what an adapter changes where the
            base is kept beside it, or all while they are written.
        mapped: the files have these very bytes, so that pages of them are read when needed.
    """

    numbers: int
    dtype: torch.dtype
    twice: int = 0
    mapped: bool = False

    def size(self, place: str = "cpu") -> int:
        """Bytes that have to be there at once; pages of files can be dropped and read again."""
        second = 0 if self.mapped and place == "cpu" else self.twice
        return (self.numbers + second) * self.dtype.itemsize

    def __str__(self) -> str:
        more = f", {spelled(self.twice)} of them twice" if self.twice else ""
        return f"{spelled(self.numbers)} numbers in {_NAMES.get(self.dtype, self.dtype)}{more}"


def require_room(load: Load, device: str, of: str) -> None:
    """Say what a large model takes, and refuse one that cannot fit.

    Args:
        device: as torch names it; what goes to another than the CPU passes through its memory.
        of: how messages begin, such as ``model a/b``.

    Raises:
        UserError: with what is needed, what is free and what to do.
    """
    through = device == "cpu" or not load.mapped
    for place in dict.fromkeys(["cpu"] * through + [device]):
        needed, free = load.size(place), free_bytes(place)
        wanted = f"{gib(needed)} free on {place} for {load}"
        expect(needed <= free, wanted, gib(free), _advice(load, needed, free), of)
    needed, free = load.size(device), free_bytes(device)
    if needed >= _SAID:
        warnings.warn(f"{of}: loads {load}: {gib(needed)} of {gib(free)} free", stacklevel=2)


def _advice(load: Load, needed: int, free: int) -> str:
    half = needed // load.dtype.itemsize * 2  # bytes in half precision
    if half < needed and half <= free:
        return f"give --dtype bf16 ({gib(half)}), or a smaller model"
    return "give a smaller model, or end what else takes memory"


def require_disk(needed: int, folder: Path, of: str) -> None:
    """Refuse to write what a disk has no room for.

    Args:
        folder: where it is to be written; it need not be there yet.

    Raises:
        UserError: with what is needed and what is free.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    wanted = f"{gib(needed)} free on the disk of {folder}"
    expect(needed <= free, wanted, gib(free), "make room, or name another GATESCOPE_CACHE", of)


def gib(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / GIB:.1f} GiB"


def spelled(numbers: int) -> str:
    """A count in billions or millions."""
    if numbers >= 10**9:
        return f"{numbers / 10**9:.2f} B"
    return f"{numbers / 10**6:.0f} M"
