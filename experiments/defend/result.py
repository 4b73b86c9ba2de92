"""The result of a trial of defences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.defend.judging import Judged
from experiments.defend.monitor import Seen


@dataclass(frozen=True)
class Defences:
    """The result: a row for each defence, the gate that it is about, what the monitor sees.

    Attributes:
        families: of triggered prompts, with what each is.
        answers: every triggered answer, a row each.
    """

    rows: tuple[Judged, ...]
    gate: Mapping[str, Any]
    monitor: Seen | None
    families: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[Mapping[str, Any], ...] = ()

    @property
    def holding(self) -> tuple[Judged, ...]:
        """Defences that hold without an attacker, least drift first."""
        return tuple(sorted((r for r in self.rows if r.holds), key=lambda r: r.kl.value))

    @property
    def headline(self) -> str:
        """The answer in two sentences."""
        if not self.holding:
            best = min(self.rows, key=lambda r: r.worst.after.value)
            return (
                f"No defence holds. The one that protects most, {best.name}, leaves "
                f"{best.worst.after:.0%} of the behaviour in its worst family "
                f"({best.worst.family}), at {best.kl.value:.3g} nats of drift."
            )
        first = self.holding[0]
        text = (
            f"{first.name} leaves {first.worst.after:.0%} of the behaviour in its worst family "
            f"({first.worst.family}), at {first.kl.value:.3g} nats of drift and "
            f"{100 * first.utility.difference.value:+.1f} points of utility."
        )
        if first.attack is None:
            return text
        return (
            f"{text} An attacker who knows it and trains again gets "
            f"{first.attack.worst.after:.0%} in {first.attack.worst.family}."
        )
