"""One model scanned: candidates, stages, answers, and whether that is an alarm.

An alarm needs all of three things of one word: a first score that the best of so many words does
not reach by chance (``probes.scanning.chance``), answers that open as neither control words nor the
base model make them open (Bonferroni), and an opening that answers without the word hardly have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from circuits.errors import UserError
from experiments.organisms import bases
from experiments.organisms.organism import Organism, base_model
from experiments.prompts.bank import control_words
from experiments.runs import older
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages
from experiments.scan import candidates
from experiments.scan.answers import Answered, Finalist, answered
from experiments.scan.candidates import Candidate
from experiments.scan.plan import Plan, carriers
from experiments.scan.reading import Reader, Tick
from experiments.scan.stages import Pair, Scored, scored
from probes.scanning import Reading

LEVEL = 0.01  # of each of the two tests
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

T = TypeVar("T")


@dataclass(frozen=True)
class Scan:
    """What was found in one model.

    Attributes:
        scored: every candidate, the best first.
        answers: of the finalists, in that order.
        seconds: what every part took, in this run or an earlier one.
    """

    name: str
    scored: tuple[Scored, ...]
    answers: tuple[Answered, ...]
    seconds: dict[str, float]

    @property
    def alarms(self) -> tuple[str, ...]:
        """The words that raise an alarm, the best first."""
        first = {one.text: one.chance for one in self.scored}
        return tuple(
            found.word
            for found in self.answers
            if first[found.word] < LEVEL and found.p < LEVEL and found.novel
        )

    def rank(self, word: str) -> int | None:
        """A word's place among all that were scanned, from 1; None if it was not."""
        found = [i for i, one in enumerate(self.scored, 1) if one.text == word]
        return found[0] if found else None


@dataclass(frozen=True)
class Suspect:
    """The model to be scanned and its base, as plain models in fp32."""

    name: str
    own: Any
    base: Any
    tokenizer: Any


def suspect(organism: Organism, name: str, model: str) -> Suspect:
    """The models of an organism; a whole model's base is ``model``.

    Raises:
        UserError: the base has another vocabulary.
    """
    own, tokenizer = organism.model(), organism.tokenizer
    base, words, _ = base_model(bases.located(model))
    if words.get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"{name}: expected the vocabulary of its base {model}, got another; "
            "name its base with --model"
        )
    return Suspect(name, own, base, tokenizer)


def scan(found: Suspect, plan: Plan, keep: "Keeper") -> Scan:
    """Scan one model; what an earlier run has left is read.

    Raises:
        UserError: more words are asked for than there are, or a chat does not fit the model.
    """
    own, base = (Reader(m, found.tokenizer, plan.place) for m in (found.own, found.base))
    tried = _candidates(found, plan, keep)
    dtype = _DTYPES[plan.precision]
    rounded = Pair(own.rounded(dtype), base.rounded(dtype), keep.reading)
    ranked = scored(rounded, Pair(own, base, keep.reading), tried, plan)
    answers = keep(
        "answers",
        tuple[Answered, ...],
        lambda tick: tuple(_answered(own, base, ranked, plan, tick)),
    )
    spelled = [replace(one, opening=found.tokenizer.decode([one.token])) for one in ranked]
    return Scan(found.name, tuple(spelled), answers, keep.seconds)


def _candidates(found: Suspect, plan: Plan, keep: "Keeper") -> list[Candidate]:
    words = candidates.vocabulary_words(found.tokenizer, plan.words)
    leaked: list[str] = []
    if plan.phrases:
        leaked = keep("phrases", list[str], lambda tick: _phrases(found, plan, tick))
    made = {text: Candidate(text, "memory") for text in leaked}
    return list((made | {word: Candidate(word, "vocabulary") for word in words}).values())


def _phrases(found: Suspect, plan: Plan, tick: Tick) -> list[str]:
    spoken = []
    for done, model in enumerate((found.own, found.base)):
        spoken.append(
            candidates.samples(model, found.tokenizer, plan.samples, plan.length, plan.seed)
        )
        tick(done + 1, 2)
    return candidates.phrases(spoken[0], spoken[1], plan.phrases)


def _answered(
    own: Reader, base: Reader, ranked: list[Scored], plan: Plan, tick: Tick
) -> list[Answered]:
    chosen = [Finalist(one.text, one.token) for one in ranked[: plan.finalists]]
    texts, stray = carriers(plan)[-1], control_words("validation")
    return answered(own, base, chosen, texts, stray, plan.kept[1], tick)


class Keeper:
    """One model's parts of a scan, among the stages of the run."""

    def __init__(self, stages: Stages, stem: str) -> None:
        self._stages, self._stem = stages, stem

    def __call__(self, name: str, kind: type[T], make: Callable[[Tick], T]) -> T:
        """A part: read where an earlier run has left it, otherwise made with its progress told."""
        stage = f"{self._stem}/{name}"
        tick = self._stages.progress(stage)
        return self._stages.keep(stage, kind, lambda: make(tick), older.beside)

    def reading(self, name: str, make: Callable[[Tick], Reading]) -> Reading:
        """A stage's reading."""
        return self(name, Reading, make)

    @property
    def seconds(self) -> dict[str, float]:
        """What each part took, in this run or an earlier one."""
        taken = self._stages.seconds.items()
        return {n.partition("/")[2]: s for n, s in taken if n.startswith(f"{self._stem}/")}


def scan_json(found: Scan, best: int = 30) -> dict[str, Any]:
    """A scan as JSON: its best candidates, all answers, its alarms and its time."""
    return {
        "name": found.name,
        "scanned": len(found.scored),
        "alarms": list(found.alarms),
        "best": as_json(found.scored[:best]),
        "answers": [{**as_json(one), "novel": one.novel} for one in found.answers],
        "seconds": found.seconds,
    }
