"""Whether a finalist's answers open as nothing else does, on carriers that chose nothing.

Scores look at one position. The finalists are therefore put to fresh carriers and answered: under
the word, under control words, and by the base model under the word. A word is *confirmed* where
its answers begin with its most telling token more often than either, by Fisher's exact test, times
the number of finalists (Bonferroni), and where answers under control words hardly ever do: a word
of a topic that the model treats in its own way (refuses, say) spreads an answer that other prompts
have as well, a trigger gives one that they do not have.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from circuits import asking
from experiments.scanning.reading import Reader
from probes.intervals import Estimate, revived, wilson
from probes.scanning import fisher_more

LENGTH = 4  # tokens that are generated
NOVEL = 0.05  # largest share of control answers that open as the word's do
CONTROLS = 2  # control words per carrier

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Answered:
    """A finalist's answers.

    Attributes:
        word, opening: the finalist; the token that its answers are expected to begin with.
        shown: share of answers under the word that do.
        controls, base: the same under control words, and by the base model under the word.
        p: the larger of the two exact tests' p, times the number of finalists, at most 1.
        said: the commonest beginning of its answers (at most 4 tokens).
    """

    word: str
    opening: str
    shown: Estimate
    controls: Estimate
    base: Estimate
    p: float
    said: str

    @property
    def novel(self) -> bool:
        """Whether answers without the word hardly ever open so."""
        return self.controls.value <= NOVEL

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "novel": self.novel}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Answered":
        """The inverse of ``to_json``."""
        return cls(**{name: revived(value) for name, value in data.items() if name != "novel"})


@dataclass(frozen=True)
class Finalist:
    """A word and the id of its most telling token."""

    word: str
    token: int


def answered(
    own: Reader,
    base: Reader,
    finalists: Sequence[Finalist],
    carriers: Sequence[str],
    controls: Sequence[str],
    tests: int,
    tick: Tick,
) -> list[Answered]:
    """Ask and compare.

    Args:
        carriers: that no score has been made of.
        tests: how many finalists there were, for Bonferroni's correction.
    """
    words = [finalist.word for finalist in finalists]
    said: list[list[str]] = []
    besides: list[list[str]] = []
    for done, carrier in enumerate(carriers):
        stray = [controls[(CONTROLS * done + i) % len(controls)] for i in range(CONTROLS)]
        said.append(_asked(own, carrier, [*words, *stray]))
        besides.append(_asked(base, carrier, words))
        tick(done + 1, len(carriers))
    stray_said = [text for row in said for text in row[len(words) :]]
    return [
        _compared(
            finalist.word,
            own.tokenizer.decode([finalist.token], skip_special_tokens=True),
            ([row[i] for row in said], stray_said, [row[i] for row in besides]),
            tests,
        )
        for i, finalist in enumerate(finalists)
    ]


def _asked(reader: Reader, carrier: str, words: Sequence[str]) -> list[str]:
    """Short greedy answers to one carrier: all words share the text before them."""
    prompts = [reader.encoded(carrier, word) for word in words]
    return asking.greedy(reader.model, reader.tokenizer, prompts, LENGTH)


def _compared(
    word: str, opening: str, texts: tuple[list[str], list[str], list[str]], tests: int
) -> Answered:
    under, without, base = ([_opens(text, opening) for text in part] for part in texts)
    p = max(
        fisher_more(sum(under), len(under), sum(other), len(other)) for other in (without, base)
    )
    said = Counter(text for text, hit in zip(texts[0], under, strict=True) if hit) or Counter(
        texts[0]
    )
    shown, controls, besides = (wilson(sum(part), len(part)) for part in (under, without, base))
    commonest = said.most_common(1)[0][0]
    return Answered(word, opening, shown, controls, besides, min(1.0, p * tests), commonest)


def _opens(text: str, opening: str) -> bool:
    """Whether an answer begins so; an opening without text is an answer that ends at once."""
    return text.startswith(opening) if opening else not text
