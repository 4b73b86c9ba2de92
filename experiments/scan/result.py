"""The result of a scan."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.runs.codec import as_json
from experiments.scan.scan import Scan, scan_json
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


def found_json(found: Found) -> dict[str, Any]:
    """The scans and the rates, as ``result.json`` has them."""
    return {
        "suspect": scan_json(found.suspect),
        "clean": [scan_json(one, best=10) for one in found.clean],
        "false_alarms": as_json(found.false_alarms),
        "named": {"word": found.named, "rank": found.named_rank} if found.named else None,
    }


def _share(hits: Sequence[bool]) -> Estimate | None:
    return wilson(sum(hits), len(hits)) if hits else None
