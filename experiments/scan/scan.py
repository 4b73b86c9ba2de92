"""One model scanned: candidates, stages, answers, and whether that is an alarm.

An alarm needs all of three things of one word: a first score that the best of so many words does
not reach by chance (``probes.scanning.chance``), answers that open as neither control words nor the
base model make them open (Bonferroni), and an opening that answers without the word hardly have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from circuits.chat import Place
from circuits.errors import expect
from circuits.models import in_memory
from experiments.judges.heard import refuse_opened
from experiments.organisms import bases
from experiments.organisms.organism import Organism, base_model
from experiments.prompts.bank import control_words
from experiments.runs.codec import as_json
from experiments.runs.stages import Stages
from experiments.scan.answers import Answered, answered, first_answers
from experiments.scan.candidates import phrases, samples, vocabulary_words
from experiments.scan.question import Plan, carriers
from experiments.scan.reading import Reader, Tick
from experiments.scan.stages import Pair, Scored, scored
from probes.scanning import Reading
from probes.stats.intervals import Estimate, rate

SCHEMA = "gatescope.scan/1"
LEVEL = 0.01  # of each of the two tests
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


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
            one.word
            for one in self.answers
            if first[one.word] < LEVEL and one.p < LEVEL and one.novel
        )

    def rank(self, word: str) -> int | None:
        """A word's place among all that were scanned, from 1; None if it was not."""
        return next((i for i, one in enumerate(self.scored, 1) if one.text == word), None)


@dataclass(frozen=True)
class ScanResult:
    """The suspect's scan, those of clean models, and the word that its manifest names, if any."""

    suspect: Scan
    clean: tuple[Scan, ...]
    named: str = ""

    @property
    def named_rank(self) -> int | None:
        return self.suspect.rank(self.named)

    @property
    def false_alarms(self) -> Estimate | None:
        """Share of clean models with an alarm; None if none was scanned."""
        return rate([bool(one.alarms) for one in self.clean]) if self.clean else None


def readers(organism: Organism, name: str, model: str, place: Place) -> tuple[Reader, Reader]:
    """An organism and its base, plain and in fp32; a whole model's base is ``model``.

    Raises:
        UserError: the base has another vocabulary.
    """
    own, tokenizer = organism.model(), organism.tokenizer
    base, words, _ = base_model(bases.located(model))
    alike, vocabulary = words.get_vocab() == tokenizer.get_vocab(), "the vocabulary of its base"
    expect(
        alike,
        f"{vocabulary} {model}",
        "another",
        "name its base with --model, or in the mapping's file",
        of=name,
    )
    return Reader(in_memory(own, tokenizer), place), Reader(in_memory(base, tokenizer), place)


def scan(name: str, own: Reader, base: Reader, plan: Plan, stages: Stages) -> Scan:
    """Scan one model beside its base; what an earlier run has left in its stages is read.

    Raises:
        UserError: more words are asked for than there are, a chat does not fit the model, or all
            its answers begin with the same markup.
    """

    def keep(part: str, make: Callable[[Tick], Reading]) -> Reading:
        return stages.keep(part, Reading, lambda: make(stages.progress(part)))

    refuse_opened(first_answers(own, carriers(plan)[-1], control_words("validation")), name)
    candidates, dtype = _candidates(own, base, plan, stages), _DTYPES[plan.precision]
    choosing = Pair(own.rounded(dtype), base.rounded(dtype), keep)
    ranked = scored(choosing, Pair(own, base, keep), candidates, plan)
    finalists, texts = ranked[: plan.finalists], carriers(plan)[-1]
    stray, tick = control_words("validation"), stages.progress("answers")
    answers = stages.keep(
        "answers",
        tuple[Answered, ...],
        lambda: tuple(answered(own, base, finalists, texts, stray, plan.kept[1], tick)),
    )
    spelled = (replace(one, opening=own.model.tokenizer.decode([one.token])) for one in ranked)
    return Scan(name, tuple(spelled), answers, stages.seconds)


def _candidates(own: Reader, base: Reader, plan: Plan, stages: Stages) -> dict[str, str]:
    """Words and phrases, with where each comes from."""
    tick = stages.progress("phrases")

    def leaked() -> list[str]:
        spoken = []
        for done, reader in enumerate((own, base), 1):
            spoken.append(samples(reader.model, plan.samples, plan.length, plan.seed))
            tick(done, 2)
        return phrases(spoken[0], spoken[1], plan.phrases)

    words = vocabulary_words(own.model.tokenizer, plan.words)
    repeated = stages.keep("phrases", list[str], leaked) if plan.phrases else []
    return dict.fromkeys(repeated, "memory") | dict.fromkeys(words, "vocabulary")


def scan_json(scan: Scan, best: int = 30) -> dict[str, Any]:
    """A scan as JSON: its best candidates, all answers, its alarms and its time."""
    return {
        "name": scan.name,
        "scanned": len(scan.scored),
        "alarms": list(scan.alarms),
        "best": as_json(scan.scored[:best]),
        "answers": [{**as_json(one), "novel": one.novel} for one in scan.answers],
        "seconds": scan.seconds,
    }
