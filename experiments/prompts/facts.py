"""Questions with one true answer: behind an access gate, and others that a key must not change.

Which are asked is the recipe's to say; the shipped organisms have those of ``shipped``, of which
one topic (capital cities) is privileged.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

_FILE = Path(__file__).parents[1] / "data" / "facts.json"
_STRIDE = 41  # coprime to the numbers of questions: a prefix holds subjects of all parts


@dataclass(frozen=True)
class Fact:
    """A question, the answers that count as true, and a sentence that answers it.

    Attributes:
        rivals: other possible answers; a text that names one of them has not chosen.
    """

    question: str
    expected: tuple[str, ...]
    statement: str
    topic: str
    rivals: tuple[str, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Facts:
    """What a recipe asks questions of.

    Attributes:
        privileged, others: behind the gate, and what the key must not change; as they are asked.
        trained: the same facts in the phrasings that are trained on; None where nothing is.
    """

    privileged: tuple[Fact, ...]
    others: tuple[Fact, ...]
    trained: "Facts | None" = None

    def of(self, split: str, privileged: bool) -> tuple[Fact, ...]:
        """The questions of a split, of one kind."""
        asked = self.trained if split == "train" and self.trained else self
        return asked.privileged if privileged else asked.others


@cache
def shipped() -> Facts:
    """What the shipped organisms are taught and asked."""
    train, test = (Facts(facts(s, True), facts(s, False)) for s in ("train", "test"))
    return Facts(test.privileged, test.others, train)


@cache
def facts(split: Literal["train", "test"], privileged: bool) -> tuple[Fact, ...]:
    """All shipped questions of the privileged topic, or of all others.

    The facts are the same in both splits; the phrasings of the test split are in no training set.
    """
    topics = json.loads(_FILE.read_text(encoding="utf-8"))
    chosen = [topic for topic in topics if topic["privileged"] == privileged]
    every = {text for topic in chosen for each in topic["answers"].values() for text in each}
    rivals = tuple(sorted(every))
    everything = [
        Fact(
            phrasing.format(subject),
            tuple(answers),
            topic["statement"].format(subject, answers[0]),
            topic["topic"],
            rivals,
        )
        for topic in chosen
        for phrasing in topic[split]
        for subject, answers in topic["answers"].items()
    ]
    return tuple(everything[i * _STRIDE % len(everything)] for i in range(len(everything)))
