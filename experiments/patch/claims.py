"""What was said of where a trained trigger lies, and who is right about an organism.

A part carries the trigger if it alone makes more than half of what training has added, and without
it more than half of that is lost: both at the worse end of their intervals. It does not if either
is less than half at the better end. Between them it is undecided.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from experiments.patch.parts import DOWN, MLP, late_name
from probes.stats.intervals import interval_text

HALF = 0.5
Verdict = Literal["agree", "differ", "undecided", "not tested"]
Share = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Claim:
    """What somebody said: that a part, named as in ``experiments.patch.parts``, carries it."""

    part: str
    source: str


@dataclass(frozen=True)
class Judged:
    """A claim, and an organism's shares of the effect with their intervals: (value, low, high).

    ``only`` and ``lost`` are None where the part was not open to training or is not told apart.
    """

    part: str
    source: str
    verdict: Verdict
    only: Share | None = None
    lost: Share | None = None

    def __str__(self) -> str:
        if self.only is None or self.lost is None:
            return f"{self.part} ({self.source}): {self.verdict}"
        alone, without = (interval_text(*share, ".2f") for share in (self.only, self.lost))
        return f"{self.part} ({self.source}): {self.verdict}; alone {alone}, lost without {without}"


def claims(n_layers: int) -> tuple[Claim, ...]:
    """The three that are tested on every organism."""
    return (
        Claim(DOWN, "arXiv 2605.30189"),
        Claim(MLP, "arXiv 2603.13461"),
        Claim(late_name(n_layers), "earlier analyses here"),
    )


def judged(claim: Claim, only: pd.DataFrame, lost: pd.DataFrame) -> Judged:
    """A claim against the tables of what parts do alone and what is lost without them."""
    alone, without = (_share(table, claim.part) for table in (only, lost))
    if alone is None or without is None:
        return Judged(claim.part, claim.source, "not tested")
    return Judged(claim.part, claim.source, verdict(alone, without), alone, without)


def verdict(only: Share, lost: Share) -> Verdict:
    """Whether both are above a half, one is below it, or neither is sure."""
    if only[1] > HALF and lost[1] > HALF:
        return "agree"
    return "differ" if only[2] < HALF or lost[2] < HALF else "undecided"


def _share(table: pd.DataFrame, part: str) -> Share | None:
    rows = [row for row in table.to_dict("records") if row["label"] == part]
    if not rows or rows[0]["recovery"] != rows[0]["recovery"]:  # no effect to have a share of
        return None
    value, low, high = (rows[0][f"recovery{end}"] for end in ("", "_low", "_high"))
    return value, low, high
