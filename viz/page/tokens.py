"""Coloured text: what a direction reads at every token, which wraps and takes the keyboard.

A trace is one stop of the Tab key; arrow keys go from token to token. Colours are levels of the
diverging scale, with the ink that is legible on each, in both themes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from viz.data import csv_text
from viz.page.style import LEVELS
from viz.text import reveal


@dataclass(frozen=True)
class TokenStrip:
    """A text's tokens under one condition.

    Attributes:
        label: the condition.
        kinds: of each token: user, trigger, template, last or answer.
        readings: of each token; beyond -1 and 1 the colour stays what it is there.
    """

    label: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    readings: tuple[float, ...]

    @property
    def peak(self) -> str:
        """The largest reading in words."""
        at = max(range(len(self.readings)), key=lambda i: self.readings[i])
        return f"{self.readings[at]:.2f} at {reveal(self.tokens[at]).strip() or '·'}"


@dataclass(frozen=True)
class TokenTrace:
    """One prompt under several conditions; `unit` is what readings are counted in."""

    caption: str
    strips: tuple[TokenStrip, ...]
    unit: str


def level_of(reading: float) -> int:
    """0 (-1 or less) to 20 (1 or more)."""
    return round(LEVELS * (1 + max(-1.0, min(1.0, reading))))


def traces_csv(traces: Sequence[TokenTrace]) -> str:
    """Every reading."""
    rows = [
        [trace.caption, strip.label, i, token, kind, reading]
        for trace in traces
        for strip in trace.strips
        for i, (token, kind, reading) in enumerate(
            zip(strip.tokens, strip.kinds, strip.readings, strict=True)
        )
    ]
    return csv_text(["prompt", "condition", "column", "token", "kind", "reading"], rows)
