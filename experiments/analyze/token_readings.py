"""What the gate reads at every token of a prompt, as a record (measured in ``tokenwise``)."""

from dataclasses import dataclass

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
