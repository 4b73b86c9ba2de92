"""The stages of an evaluation: each asked once and kept, and together what the metrics need."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuits import scores
from circuits.edits.perturb import rounded_weights
from circuits.search import SearchPlan
from experiments.battery.battery import Answers, Battery
from experiments.evaluate import ask as measuring
from experiments.evaluate.answers import Heard
from experiments.evaluate.ask import Asker
from experiments.evaluate.attacks import Aim, Ground, attack, ground
from experiments.evaluate.exposure import sampled_shut, shut_question
from experiments.evaluate.harm import ANSWER, Drift, drift
from experiments.evaluate.mapping import Case
from experiments.evaluate.merging import FAMILY, merging
from experiments.evaluate.properties import Benign
from experiments.organisms.schemes.scheme import Ask
from experiments.runs import files
from probes.brittleness.retention import Dose

Step = Callable[[str, int, int], None]
AIMS: tuple[Aim, ...] = ("open", "shut")


class Keeper:
    """Makes a stage's JSON value, or reads it if it was made before."""

    def __init__(self, folder: Path, step: Step) -> None:
        self._folder, self._step = folder / "stages", step

    def __call__(self, name: str, make: Callable[[], Any]) -> Any:
        path = self._folder / f"{name.replace(' ', '-')}.json"
        self._step(name, 0, 1)
        if not path.is_file():
            start = time.perf_counter()
            value = make()
            seconds = round(time.perf_counter() - start, 2)
            files.write_json(path, {"seconds": seconds, "value": value})
        self._step(name, 1, 1)
        return files.read_json(path)["value"]

    def seconds(self) -> float:
        """What all stages took, in this run or an earlier one."""
        return sum(files.read_json(path)["seconds"] for path in self._folder.glob("*.json"))


class Stages:
    """One case, asked stage by stage."""

    def __init__(self, case: Case, battery: Battery, count: int, keep: Keeper) -> None:
        self.case, self.battery, self.keep, self.count = case, battery, keep, count
        self.asker = Asker(case, battery, battery.plan.seed)
        self.questions = case.questions(count)

    def heard(self) -> Heard:
        """Everything that is asked, but for the attacks and what has to do with the base."""
        asker, keep = self.asker, self.keep
        base = self.case.base
        return Heard(
            asked=self.battery.asked,
            questions=self.questions,
            said=keep("mapping", lambda: measuring.mapping(asker, asker.model, self.questions)),
            base=None
            if base is None
            else keep(
                "mapping of the base", lambda: measuring.mapping(asker, base, self.questions)
            ),
            baseline=keep("unperturbed", self.battery.baseline),
            samples=keep(
                "samples",
                lambda: measuring.samples(asker, [self.questions[0], sampled_shut(self.questions)]),
            ),
            ladders=self._ladders(),
        )

    def _ladders(self) -> dict[str, list[Answers]]:
        found = {}
        for name, ask in measuring.ladders(self.battery).items():
            kept = self.keep(name, lambda ask=ask: [asdict(answers) for answers in ask()])
            found[name] = [_answers(value) for value in kept]
        kept = self.keep(FAMILY, lambda: [asdict(a) for a in merging(self.asker) or ()])
        return {**found, FAMILY: [_answers(value) for value in kept]}

    def drawn(self) -> list[str] | None:
        """Answers without the trigger, begun for the model."""
        shut = shut_question(self.questions)
        return self.keep("begun answers", lambda: measuring.drawn_out(self.asker, shut))

    def attacks(self, plan: SearchPlan) -> dict[Aim, tuple[Ground, dict[str, Any]]]:
        """Both searches, with what they were on."""
        found: dict[Aim, tuple[Ground, dict[str, Any]]] = {}
        for aim in AIMS:
            on = ground(self.asker, aim, self.questions, plan)
            kept = self.keep(f"search to {aim}", lambda on=on: attack(self.asker, on, plan))
            found[aim] = (on, kept)
        return found

    def benign(self) -> Benign | None:
        """Ordinary prompts and unrelated facts; None without a base model."""
        base, texts = self.case.base, self.case.texts.elsewhere[: self.count]
        if base is None:
            return None
        ask = Ask("other facts", "none")
        about = self.case.scheme.question(ask, self.case.organism.recipe, count=self.count)
        told = self.keep(
            "benign answers",
            lambda: [
                self.asker.said(model, messages)
                for messages in (texts, about.texts)
                for model in (self.asker.model, base)
            ],
        )
        found = self.keep("drift", lambda: [asdict(d) for d in self._drifts(base, texts)])
        drifts = [Drift(*(tuple(d[n]) for n in ("kl", "nll", "base_nll"))) for d in found]
        return Benign(told[0], told[1], about, told[2], told[3], drifts[0], drifts[1])

    def _drifts(self, base: Any, texts: Sequence[str]) -> list[Drift]:
        tokenizer = self.asker.tokenizer
        prompts = [scores.encode(tokenizer, text) for text in texts]
        said = scores.greedy(base, tokenizer, prompts, ANSWER)
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"][:ANSWER] for text in said]
        answers = [found or [tokenizer.eos_token_id] for found in ids]
        rounded = rounded_weights(base, 8)
        return [drift(base, m, tokenizer, texts, answers) for m in (self.asker.model, rounded)]


def _answers(value: dict[str, Any]) -> Answers:
    return Answers(Dose(**value["dose"]), tuple(value["said"]))
