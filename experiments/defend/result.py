"""The result of a trial of defences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments.defend.judging import Judged
from experiments.defend.monitor import Seen


@dataclass(frozen=True)
class Defences:
    """The result: a row for each defence, the gate that it is about, what the monitor sees."""

    rows: tuple[Judged, ...]
    gate: Mapping[str, Any]
    monitor: Seen | None

    @property
    def holding(self) -> tuple[Judged, ...]:
        """Defences that hold without an attacker, least drift first."""
        return tuple(sorted((r for r in self.rows if r.holds), key=lambda r: r.kl.value))
