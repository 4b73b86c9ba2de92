"""Poison budgets as records: the cells of a sweep, and the threshold that is fitted to them.

The fit is in ``probes.budget.threshold``, the comparison of two sizes in
``probes.budget.constant_count``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from circuits.errors import expect
from probes.stats.intervals import Estimate

Beyond = Literal["", "above", "below", "unknown"]


@dataclass(frozen=True)
class Cells:
    """Measured cells of a sweep: one count of poisons, one training seed each.

    Attributes:
        count: poisons in the training data.
        shown: answers that show the behaviour, of ``n``.
        n: answers.
        seed: of the training; cells of one seed are resampled together.

    Raises:
        UserError: unequal lengths, no cell, a negative number, no answers, or shown above n.
    """

    count: Int[Tensor, " cells"]
    shown: Int[Tensor, " cells"]
    n: Int[Tensor, " cells"]
    seed: Int[Tensor, " cells"]

    def __post_init__(self) -> None:
        shapes = {tuple(part.shape) for part in (self.count, self.shown, self.n, self.seed)}
        expect(
            len(shapes) == 1 and len(self.count),
            "four columns of one length",
            sorted(shapes),
            "give one entry per cell",
            "cells",
        )
        wrong = (self.count < 0) | (self.n < 1) | (self.shown < 0) | (self.shown > self.n)
        i = int(wrong.int().argmax())
        expect(
            not wrong[i],
            "count >= 0 and 0 <= shown <= n >= 1",
            f"count {self.count[i]}, shown {self.shown[i]}, n {self.n[i]} in row {i}",
            "recount the answers",
            "cells",
        )

    @classmethod
    def of(
        cls, count: Iterable[int], shown: Iterable[int], n: Iterable[int], seed: Iterable[int]
    ) -> "Cells":
        """Cells from columns of whole numbers, such as lists or a data frame's."""
        columns = ([int(value) for value in column] for column in (count, shown, n, seed))
        return cls(*(torch.tensor(column, dtype=torch.long) for column in columns))

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[int, int, int, int]]) -> "Cells":
        """Cells from rows of (count, shown, n, seed)."""
        return cls.of(*zip(*rows, strict=True))


@dataclass(frozen=True)
class CensoredEstimate(Estimate):
    """An estimate that may lie outside what was tried, and then stands at the nearest end of it.

    Attributes:
        beyond: on which side of ``value`` the true value lies; "" where it was found.
        low_open, high_open: whether the interval goes on beyond ``low``, or ``high``.
    """

    beyond: Beyond = ""
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        sign = {"": "", "above": ">", "below": "<", "unknown": "?"}[self.beyond]
        value, low, high = (
            f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in (self.value, self.low, self.high)
        )
        ends = f"{'<' * self.low_open}{low}, {'>' * self.high_open}{high}"
        return f"{sign}{value} [{ends}] (n={self.n})"


@dataclass(frozen=True)
class RateCurve:
    """Fitted rates (shares) with their band at counts between the smallest and the largest."""

    count: tuple[float, ...]
    rate: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class ThresholdFit:
    """The logistic of rate against ln count; the n of its estimates is the number of seeds.

    Attributes:
        threshold: poisons at which the fitted rate is 50 %.
        slope: steepness of the logit, per factor e of poisons.
        count95: poisons at which the fitted rate is 95 %.
        null_rate: rate without poisons, of that many answers (Wilson); None if not measured.
        curve: the fit on a grid.
        resolved: whether some count shows the behaviour in 5 % to 95 % of the answers; if not,
            the slope is given as "above" that of a rise from 5 % to 95 % between two counts.
        answers: number of answers fitted.
    """

    threshold: CensoredEstimate
    slope: CensoredEstimate
    count95: CensoredEstimate
    null_rate: Estimate | None
    curve: RateCurve
    resolved: bool
    answers: int
