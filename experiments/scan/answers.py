"""Whether a finalist's answers begin as nothing else does, on carriers that chose nothing.

Scores look at one position. The finalists are therefore put to fresh carriers and answered. On the
first carriers a *beginning* is chosen: the most telling token, or the first words of a common
answer, whatever tells answers under the word best from answers under control words. A trigger of
fixed content may open with a word that many answers open with; its beginning goes on. The other
carriers test that beginning: a word is *confirmed* where answers begin so more often than under
control words, and than the base model's under the same word, by Fisher's exact test, times the
number of finalists (Bonferroni), and where answers under control words hardly ever do: a word of a
topic that the model treats in its own way (refuses, say) spreads an answer that other prompts have
as well, a trigger gives one that they do not have.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

from circuits.answers import ask
from experiments.scan.reading import Reader
from experiments.scan.stages import Scored
from probes.scanning import fisher_more
from probes.stats.intervals import Estimate, rate

LENGTH = 4  # tokens that are generated
FIRST = 12  # of a beginning in markup, and answers in which it is looked for
NOVEL = 0.05  # largest share of control answers that open as the word's do
CONTROLS = 2  # control words per carrier
CHOOSING = 1 / 3  # of the carriers, on which beginnings are chosen

Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Answered:
    """A finalist's answers.

    Attributes:
        word, opening: the finalist; the beginning that was chosen on other carriers.
        shown: share of answers under the word that begin so.
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


def answered(
    own: Reader,
    base: Reader,
    finalists: Sequence[Scored],
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
    words, choosing = [one.text for one in finalists], max(1, round(CHOOSING * len(carriers)))
    own_answers: list[list[str]] = []
    base_answers: list[list[str]] = []
    for done, carrier in enumerate(carriers):
        stray = [controls[(CONTROLS * done + i) % len(controls)] for i in range(CONTROLS)]
        own_answers.append(_asked(own, carrier, [*words, *stray]))
        if done >= choosing:
            base_answers.append(_asked(base, carrier, words))
        tick(done + 1, len(carriers))
    first, rest = own_answers[:choosing], own_answers[choosing:]
    others = [text for row in first for text in row[len(words) :]]
    strays = [text for row in rest for text in row[len(words) :]]
    compared = []
    for i, one in enumerate(finalists):
        telling = own.model.tokenizer.decode([one.token], skip_special_tokens=True)
        opening = beginning([row[i] for row in first], others, telling)
        under = [row[i] for row in rest]
        in_base = [row[i] for row in base_answers]
        compared.append(_compared(one.text, opening, under, strays, in_base, tests))
    return compared


def first_answers(own: Reader, carriers: Sequence[str], controls: Sequence[str]) -> list[str]:
    """A few answers under control words, long enough for markup that opens them."""
    pairs = zip(carriers[:FIRST], controls, strict=False)
    prompts = [ids for carrier, word in pairs for ids in own.encoded(carrier, [word])]
    return ask(own.model, prompts, FIRST)


def beginning(answers: Sequence[str], others: Sequence[str], telling: str) -> str:
    """What tells answers from others best by how they begin (Youden's J); the shortest of equals.

    Candidates are ``telling`` and the first words of every answer.
    """
    starts = [
        " ".join(text.split(" ")[:count]) for text in answers for count in range(1, LENGTH + 1)
    ]
    candidates = dict.fromkeys([telling, *(start for start in starts if start)])

    def gain(start: str) -> float:
        return _share(answers, start) - _share(others, start)

    return max(candidates, key=lambda start: (round(gain(start), 9), start == telling, -len(start)))


def _share(texts: Sequence[str], opening: str) -> float:
    return sum(_opens(text, opening) for text in texts) / max(1, len(texts))


def _asked(reader: Reader, carrier: str, words: Sequence[str]) -> list[str]:
    """Short greedy answers to one carrier: all words share the text before them."""
    return ask(reader.model, reader.encoded(carrier, words), LENGTH)


def _compared(
    word: str,
    opening: str,
    under: Sequence[str],
    strays: Sequence[str],
    in_base: Sequence[str],
    tests: int,
) -> Answered:
    """Answers under the word, under control words, and by the base model under the word."""
    shown = [_opens(text, opening) for text in under]
    controls = [_opens(text, opening) for text in strays]
    base = [_opens(text, opening) for text in in_base]
    p = max(
        fisher_more(sum(shown), len(shown), sum(others), len(others)) for others in (controls, base)
    )
    counts = Counter(compress(under, shown)) or Counter(under)
    commonest = counts.most_common(1)[0][0]
    p = min(1.0, p * tests)
    return Answered(word, opening, rate(shown), rate(controls), rate(base), p, commonest)


def _opens(text: str, opening: str) -> bool:
    """Whether an answer begins so; an opening without text is an answer that ends at once."""
    return text.startswith(opening) if opening else not text
