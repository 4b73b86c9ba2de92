"""What the gate reads at every token of a prompt, as a record (measured in ``tokenwise``)."""

from dataclasses import asdict, dataclass
from typing import Any

ANSWER = "answer"


@dataclass(frozen=True)
class TokenReadings:
    """One prompt under one condition with its own greedy answer, as the gate sees it.

    Attributes:
        condition: triggered, control word or no trigger.
        prompt, word: the user's text, and what stands in the trigger's place ("" for nothing).
        tokens: texts of the tokens from the message on, answer included.
        kinds: of each token: user, trigger (or the control word), template, last, answer.
        readings: of each token, in units of the gap.
    """

    condition: str
    prompt: str
    word: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    readings: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TokenReadings":
        """The inverse of ``to_json``."""
        lists = {name: tuple(value[name]) for name in ("tokens", "kinds", "readings")}
        return cls(**{**value, **lists})
