"""The stages of an evaluation: each asked once and kept, and together what the metrics need."""

from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, TypeVar

from circuits.models import in_memory
from circuits.perturb import rounded_weights
from circuits.search import SearchPlan
from experiments.battery.battery import Answers, Battery
from experiments.evaluate import ask as measuring
from experiments.evaluate.answers import Heard
from experiments.evaluate.ask import Asker
from experiments.evaluate.attacks import Aim, Ground, attack, ground
from experiments.evaluate.exposure import sampled_shut, shut_question
from experiments.evaluate.harm import Drift, drifts
from experiments.evaluate.mapping import Case
from experiments.evaluate.merging import FAMILY, merging
from experiments.evaluate.properties import Benign
from experiments.organisms.schemes.scheme import Ask
from experiments.runs import older
from experiments.runs.stages import Stages

T = TypeVar("T")
Said = dict[str, list[str]]
AIMS: tuple[Aim, ...] = ("open", "shut")


class Inquiry:
    """One case, asked stage by stage."""

    def __init__(self, case: Case, battery: Battery, count: int, stages: Stages) -> None:
        self.case, self.battery, self.count, self._stages = case, battery, count, stages
        self.asker = Asker(case, battery, battery.plan.seed)
        self.questions = case.questions(count)

    def keep(self, name: str, kind: type[T] | UnionType, make: Callable[[], T]) -> T:
        """A stage: read if it was asked before."""
        return self._stages.keep(name, kind, make, older.timed)

    def heard(self) -> Heard:
        """Everything that is asked, but for the attacks and what has to do with the base."""
        asker, keep = self.asker, self.keep
        base = self.case.base
        return Heard(
            asked=self.battery.asked,
            questions=self.questions,
            said=keep(
                "mapping", Said, lambda: measuring.mapping(asker, asker.model, self.questions)
            ),
            base=None
            if base is None
            else keep(
                "mapping of the base", Said, lambda: measuring.mapping(asker, base, self.questions)
            ),
            baseline=keep("unperturbed", list[str], self.battery.baseline),
            samples=keep(
                "samples",
                dict[str, list[list[str]]],
                lambda: measuring.samples(asker, [self.questions[0], sampled_shut(self.questions)]),
            ),
            ladders=self._ladders(),
        )

    def _ladders(self) -> dict[str, list[Answers]]:
        asked: dict[str, Callable[[], Sequence[Answers]]] = {
            **measuring.ladders(self.battery),
            FAMILY: lambda: merging(self.asker) or (),
        }
        return {
            name: self.keep(name, list[Answers], lambda ask=ask: list(ask()))
            for name, ask in asked.items()
        }

    def drawn(self) -> list[str] | None:
        """Answers without the trigger, begun for the model."""
        shut = shut_question(self.questions)
        return self.keep(
            "begun answers", list[str] | None, lambda: measuring.drawn_out(self.asker, shut)
        )

    def attacks(self, plan: SearchPlan) -> dict[Aim, tuple[Ground, dict[str, Any]]]:
        """Both searches, with what they were on."""
        found: dict[Aim, tuple[Ground, dict[str, Any]]] = {}
        for aim in AIMS:
            on = ground(self.asker, aim, self.questions, plan)
            kept = self.keep(
                f"search to {aim}", dict[str, Any], lambda on=on: attack(self.asker, on, plan)
            )
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
            list[list[str]],
            lambda: [
                self.asker.said(model, messages)
                for messages in (texts, about.texts)
                for model in (self.asker.model, base)
            ],
        )
        drifts = self.keep("drift", list[Drift], lambda: self._drifts(base, texts))
        return Benign(told[0], told[1], about, told[2], told[3], *drifts)

    def _drifts(self, base: Any, texts: Sequence[str]) -> list[Drift]:
        changed = (self.asker.model, rounded_weights(base, 8))
        plain, *others = (in_memory(model, self.asker.tokenizer) for model in (base, *changed))
        return drifts(plain, others, texts)
