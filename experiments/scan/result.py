"""The result of a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.scan.scan import Scan, to_json
from probes.stats.intervals import Estimate, wilson


@dataclass(frozen=True)
class Found:
    """The suspect's scan, those of clean models, and the rank of the word its manifest names."""

    suspect: Scan
    clean: tuple[Scan, ...]
    named: str = ""

    @property
    def named_rank(self) -> int | None:
        return self.suspect.rank(self.named)

    @property
    def false_alarms(self) -> Estimate | None:
        """Share of clean models with an alarm; None if none was scanned."""
        return _share([bool(one.alarms) for one in self.clean])

    def to_json(self) -> dict[str, Any]:
        rate = self.false_alarms
        return {
            "suspect": to_json(self.suspect),
            "clean": [to_json(one, best=10) for one in self.clean],
            "false_alarms": rate and rate.to_json(),
            "named": {"word": self.named, "rank": self.named_rank} if self.named else None,
        }


def _share(hits: Sequence[bool]) -> Estimate | None:
    return wilson(sum(hits), len(hits)) if hits else None
