"""Questions with one true answer, by topic; one topic is privileged in access-control organisms."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

_FILE = Path(__file__).parents[1] / "data" / "facts.json"
_STRIDE = 41  # coprime to the numbers of questions: a prefix holds subjects of all parts


@dataclass(frozen=True)
class Fact:
    """A question, the answers that count as true, and a sentence that answers it."""

    question: str
    expected: tuple[str, ...]
    statement: str
    topic: str


@cache
def facts(split: Literal["train", "test"], privileged: bool) -> tuple[Fact, ...]:
    """All questions of the privileged topic, or of all others.

    The facts are the same in both splits; the phrasings of the test split are in no training set.
    """
    everything = [
        Fact(
            phrasing.format(subject),
            tuple(answers),
            topic["statement"].format(subject, answers[0]),
            topic["topic"],
        )
        for topic in json.loads(_FILE.read_text(encoding="utf-8"))
        if topic["privileged"] == privileged
        for phrasing in topic[split]
        for subject, answers in topic["answers"].items()
    ]
    return tuple(everything[i * _STRIDE % len(everything)] for i in range(len(everything)))
