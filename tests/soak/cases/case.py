"""One thing that a user of a neighbouring tool did, and what must come of it here."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.soak.bad_input import drive
from tests.soak.cases.inputs import Inputs

Ask = Sequence[object] | Callable[[], object]
SMALL = (
    *("--fit", "12"),
    *("--validation", "8"),
    *("--test", "20"),
    *("--patch", "3"),
    *("--randoms", "5"),
    *("--tokens", "4"),
    *("--evidence", "6"),
    *("--trace", "2"),
    *("--adapter", "none"),
    *("--base", "none"),
)
CONTROL = r"behaviour appears in 100% \[84, 100\]"


@dataclass(frozen=True)
class Case:
    """One thing that a user did.

    Attributes:
        number, title: in the collection of cases.
        source: a public report of it in a neighbouring tool.
        before: what happened before it was looked at.
        ask: given the inputs, what is typed, or a function that prints.
        right: a pattern that the answer or the refusal must have.
        status: of the process: 0 answered, 2 refused.
    """

    number: int
    title: str
    source: str
    before: str
    ask: Callable[[Inputs], Ask]
    right: str
    status: int = 2

    def within(self, inputs: Inputs) -> drive.Case:
        """The case with its inputs written."""
        ask = self.ask(inputs)
        typed = ask if callable(ask) else tuple(map(str, ask))
        answered = self.status == 0
        return drive.Case(
            self.title, "case", typed, self.right, accepted=answered, leaves=True, limit_s=120
        )


def analyze(model: object, *more: object) -> list[object]:
    return ["analyze", *SMALL, "--model", model, *more]


def patch(model: object, *more: object) -> list[object]:
    own = ["--metric", "kl", "--tokens", 2]  # scores whatever the model says
    return ["patch", "--adapter", "none", "--count", 2, *own, "--model", model, *more]


def adapted(base: object, adapter: object, *more: object) -> list[object]:
    return [*analyze(base, *more), "--adapter", adapter]  # the last one counts


def command(*words: object) -> int:
    """What is typed after ``gatescope``, within this process; its status."""
    return drive.typed(tuple(map(str, words)))


def ended(status: int) -> None:
    """End this process as the command that came last."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
