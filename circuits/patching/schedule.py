"""Cut a sweep into forward passes of bounded size.

A variant changes layers from ``layer`` and columns from ``start`` on, so it joins a pass at that
layer, and the pass may begin at that column. Variants with the same or neighbouring first columns
share a pass; within it they are ordered by the layer at which they join.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# A group of variants is big enough alone from so many tokens per layer; and joining two groups may
# waste so many: less than one more forward pass costs anyway.
_TOKENS_PER_LAYER = 48
_WASTED_TOKENS = 48


@dataclass(frozen=True)
class Variant:
    """One patched version of every prompt: its cell's number, and what it leaves untouched."""

    number: int
    layer: int
    start: int


@dataclass(frozen=True)
class Job:
    """One forward pass: variants by joining layer, and the first column of the pass."""

    start: int
    variants: tuple[Variant, ...]

    @property
    def numbers(self) -> list[int]:
        return [v.number for v in self.variants]

    def halves(self) -> "tuple[Job, Job]":
        """The same work in two passes, for when one does not fit into memory."""
        middle = len(self.variants) // 2
        return Job(self.start, self.variants[:middle]), Job(self.start, self.variants[middle:])


def jobs(variants: Sequence[Variant], n: int, width: int, limit: int) -> list[Job]:
    """Passes over ``n`` prompts of ``width`` columns with at most ``limit`` tokens at the top.

    A variant that exceeds the limit alone still gets its pass.
    """
    passes = []
    for group in _groups(variants, n, width):
        start = min(v.start for v in group)
        per_pass = max(1, limit // (n * (width - start)))
        ordered = sorted(group, key=lambda v: (v.layer, v.number))
        passes += [
            Job(start, tuple(ordered[i : i + per_pass])) for i in range(0, len(ordered), per_pass)
        ]
    return passes


def _groups(variants: Sequence[Variant], n: int, width: int) -> list[list[Variant]]:
    """Variants grouped by first column; small neighbouring columns share a group."""
    by_start: dict[int, list[Variant]] = {}
    for variant in variants:
        by_start.setdefault(variant.start, []).append(variant)
    groups: list[list[Variant]] = []
    first = waste = held = 0
    for start in sorted(by_start):
        here = by_start[start]
        per_layer = len(here) / len({v.layer for v in here})
        waste += int(n * per_layer * (start - first))
        full = n * held * (width - first) >= _TOKENS_PER_LAYER
        if not groups or waste > _WASTED_TOKENS or full:
            groups.append([])
            first, waste, held = start, 0, 0
        groups[-1] += here
        held += per_layer
    return groups


def token_layers(passes: Sequence[Job], n: int, width: int, n_layers: int) -> int:
    """How many tokens all passes send through how many layers: what the time is linear in."""
    return sum(
        n * (width - job.start) * (n_layers - v.layer) for job in passes for v in job.variants
    )
