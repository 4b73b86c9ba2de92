"""How sure a gate's rank is: the number of directions needed, over resamples of the prompts.

The rank needed is a threshold crossed by a mean: the smallest r at which editing the first r
directions achieves a share of the full effect. It is found again on every bootstrap resample of the
prompts, effects and full effect resampled together. Its distribution is over a few whole numbers,
so its quantiles are reported, not a standard error.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import expect
from probes.stats.checks import at_least_one, check_level, check_vector, generator, rows_of
from probes.stats.intervals import is_scale

_ROUNDING = 1e-6  # of a share


@dataclass(frozen=True)
class RankNeeded:
    """The number of directions needed; None stands for more than the basis has.

    Attributes:
        value: on all prompts.
        low, high: the central interval at ``level`` over resamples.
        enough: the smallest number that suffices in a share ``level`` of the resamples.
        chances: for r = 0 to all, then None: the share of resamples in which exactly that is
            needed.
        share: of the full effect that counts as all of it.
        level: of the interval and of ``enough``.
        n: prompts.
    """

    value: int | None
    low: int | None
    high: int | None
    enough: int | None
    chances: tuple[float, ...]
    share: float
    level: float
    n: int

    def __str__(self) -> str:
        most = len(self.chances) - 2
        value, low, high = (
            f">{most}" if r is None else str(r) for r in (self.value, self.low, self.high)
        )
        return f"{value} [{low}, {high}] (n={self.n})"


def rank_needed(
    values: Float[Tensor, "sizes n"],
    base: Float[Tensor, "n"],
    source: Float[Tensor, "n"],
    share: float = 0.9,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> RankNeeded:
    """The rank needed, from the per-prompt values of a ``circuits.gates.rank.RankCurve``.

    Args:
        values: row r has the first r directions edited.
        base: no direction edited.
        source: what the edited run is to become.
        share: of the mean of source - base; in (0, 1].

    Raises:
        ValueError: other shapes, values that are not finite, a share or level out of range, or a
            full effect whose interval reaches 0: shares of it mean nothing.
    """
    expect(values.ndim == 2, "values [sizes, n]", tuple(values.shape), "pass one curve")
    expect(0 < share <= 1, "a share in (0, 1]", share, "pass 0.9 for 90 %")
    check_level(level)
    for name, vector in (("base", base), ("source", source)):
        check_vector(vector, name)
        expect(
            vector.shape == values.shape[1:],
            f"values and {name} of the same prompts",
            f"{values.shape[1]} and {len(vector)}",
            "pair them",
        )
    rows, start = rows_of(values, "values", at_least=2), rows_of(base, "base")
    full = rows_of(source, "source") - start
    expect(
        is_scale(full[0], level),
        "a full effect away from 0",
        "an interval that reaches 0",
        "there is no effect to explain",
    )
    missing = torch.cat([rows - start, full])
    n, sizes = rows.shape[1], len(rows)
    index = torch.randint(n, (n, at_least_one(resamples)), generator=generator(seed)).to(
        rows.device
    )
    every = _needed(missing.mean(dim=1, keepdim=True), share)
    needed = _needed(missing[:, index.to(rows.device)].mean(dim=1), share).sort().values
    counts = torch.bincount(needed, minlength=sizes + 1)

    def named(r: int | Tensor) -> int | None:
        return None if int(r) == sizes else int(r)

    tail = (1 - level) / 2
    last = len(needed) - 1
    low, high = needed[int(tail * last)], needed[last - int(tail * last)]
    reached = counts.cumsum(dim=0) >= level * len(needed)
    return RankNeeded(
        value=named(every[0]),
        low=named(low),
        high=named(high),
        enough=named(reached.nonzero()[0, 0]),
        chances=tuple((counts / len(needed)).tolist()),
        share=share,
        level=level,
        n=n,
    )


def _needed(means: Float[Tensor, "sizes_and_full m"], share: float) -> Int[Tensor, "m"]:
    """The first row that reaches the share of the last, per column; the number of rows if none."""
    effects, full = means[:-1], means[-1]
    reached = (effects * full.sign() >= (share - _ROUNDING) * full.abs()) & (full != 0)
    none = torch.ones_like(reached[:1])
    return torch.cat([reached, none]).int().argmax(dim=0)
