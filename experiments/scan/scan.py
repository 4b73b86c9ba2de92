"""One model scanned: candidates, stages, answers, and whether that is an alarm.

An alarm needs all of three things of one word: a first score that the best of so many words does
not reach by chance (``probes.scanning.chance``), answers that open as neither control words nor the
base model make them open (Bonferroni), and an opening that answers without the word hardly have.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from circuits.errors import UserError
from experiments.organisms import bases
from experiments.organisms.organism import Organism, base_model
from experiments.prompts.bank import control_words
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from experiments.scan import candidates
from experiments.scan.answers import Answered, Finalist, answered
from experiments.scan.candidates import Candidate
from experiments.scan.plan import Plan, carriers
from experiments.scan.reading import Reader, Tick
from experiments.scan.stages import Pair, Scored, scored
from probes.scanning import Reading

LEVEL = 0.01  # of each of the two tests
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scan:
    """What was found in one model.

    Attributes:
        scored: every candidate, the best first.
        answers: of the finalists, in that order.
        seconds: of every part that was not read from an earlier run.
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


def scan(found: Suspect, plan: Plan, folder: Path, step: Step) -> Scan:
    """Scan one model; what an earlier run has left in the folder is read.

    Raises:
        UserError: more words are asked for than there are, or a chat does not fit the model.
    """
    keep = Keeper(folder, found.name, step)
    own, base = (Reader(m, found.tokenizer, plan.place) for m in (found.own, found.base))
    tried = _candidates(found, plan, keep)
    dtype = _DTYPES[plan.precision]
    rounded = Pair(own.rounded(dtype), base.rounded(dtype), keep.reading)
    ranked = scored(rounded, Pair(own, base, keep.reading), tried, plan)
    said = keep.records("answers", lambda tick: as_json(_answered(own, base, ranked, plan, tick)))
    answers = decode(tuple[Answered, ...], said)
    spelled = [replace(one, opening=found.tokenizer.decode([one.token])) for one in ranked]
    return Scan(found.name, tuple(spelled), answers, keep.seconds)


def _candidates(found: Suspect, plan: Plan, keep: "Keeper") -> list[Candidate]:
    words = candidates.vocabulary_words(found.tokenizer, plan.words)
    leaked = (
        keep.records("phrases", lambda tick: _phrases(found, plan, tick)) if plan.phrases else []
    )
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
    """Makes a part of a scan, or reads it where an earlier run has left it complete."""

    def __init__(self, folder: Path, name: str, step: Step) -> None:
        self._folder, self._name, self._step = folder, name, step
        self.seconds: dict[str, float] = {}

    def reading(self, name: str, make: Callable[[Tick], Reading]) -> Reading:
        """A stage's reading, as a safetensors file."""
        path = self._folder / f"{name}.safetensors"
        if not path.is_file():
            fields = ("entropy", "ids", "probs")
            found = self._timed(name, make)
            files.write_tensors(path, {n: getattr(found, n) for n in fields}, {"stage": name})
        return Reading(**files.read_tensors(path))

    def records(self, name: str, make: Callable[[Tick], list[Any]]) -> list[Any]:
        """A part that is no tensors, as JSON."""
        path = self._folder / f"{name}.json"
        if not path.is_file():
            files.write_json(path, self._timed(name, make))
        return files.read_json(path)

    def _timed(self, name: str, make: Callable[[Tick], Any]) -> Any:
        started = time.perf_counter()
        made = make(lambda done, total: self._step(f"{self._name}: {name}", done, total))
        self.seconds[name] = time.perf_counter() - started
        return made


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
