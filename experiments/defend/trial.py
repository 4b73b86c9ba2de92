"""Measures what is not in a run directory yet; a stage is asked once and judged when it is read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from circuits.errors import expect
from circuits.types import Direction
from experiments.defend import gates
from experiments.defend.attacker import attack
from experiments.defend.defences import Defence, Fitted
from experiments.defend.exam import FITTED, KL_TOKENS, Answers, Exam, measured, opened
from experiments.defend.judging import Attack, Judged, attacked, judged, shown
from experiments.defend.monitor import Seen, seen
from experiments.defend.protected import Reference, reference
from experiments.defend.question import FEWEST, DefenceQuestion
from experiments.defend.setting import Bench
from experiments.organisms.organism import files_sha256
from experiments.runs import formats, older
from experiments.runs.stages import Stages
from experiments.study import answer_rows

_ASKED_ANYWAY = 0.05  # share of an optional family that must show the behaviour undefended


@dataclass(frozen=True)
class Tried:
    """A defence's answers to the exam, and what was fitted."""

    notes: dict[str, Any]
    answers: Answers


@dataclass(frozen=True)
class Assault:
    """Answers of the attacker's organism under the defence, and how it was trained."""

    how: str
    answers: Answers


class Trial:
    """Measures what is not in the run directory yet."""

    def __init__(
        self, question: DefenceQuestion, stages: Stages, setting: Bench, whole: Exam
    ) -> None:
        self._question, self._stages, self._setting, self._whole = question, stages, setting, whole
        self._answers: dict[str, Answers] = {}

    @cached_property
    def bench(self) -> Bench:
        """The bench with its gate."""
        return replace(self._setting, gate=self._gate())

    @property
    def gate_about(self) -> dict[str, Any]:
        gate = self.bench.direction
        return {
            **asdict(gate.site),
            "estimator": gate.estimator,
            "clean_mean": gate.clean_mean,
            "triggered_mean": gate.triggered_mean,
            "run": self._question.run,
        }

    @cached_property
    def undefended(self) -> Answers:
        """The organism's own answers.

        Raises:
            UserError: too few of them show the behaviour.
        """
        answers = self._stages.keep(
            "undefended",
            Answers,
            lambda: measured(self._whole, self._setting.plain, self._setting.tokenizer),
        )
        said, recipe = answers.triggered[FITTED].answers, self._setting.organism.recipe
        self._whole.asked.scheme.require_heard(recipe, said, ())
        rate = shown(self._whole, said)
        expect(
            rate.value * rate.n >= FEWEST,
            f"its behaviour on at least {FEWEST} of {rate.n} triggered prompts",
            f"it on {rate.value * rate.n:.0f}",
            "there is nothing to defend from",
            of=self._question.given.name,
        )
        return answers

    @cached_property
    def exam(self) -> Exam:
        """The exam less the optional families in which nothing shows undefended."""
        triggered = self.undefended.triggered

        def stays(name: str) -> bool:
            return shown(self._whole, triggered[name].answers).value >= _ASKED_ANYWAY

        kept = [f for f in self._whole.families if not f.optional or stays(f.name)]
        return replace(self._whole, families=tuple(kept))

    @cached_property
    def _references(self) -> list[Reference]:
        chats = self.exam.ordinary
        return reference(self.bench.plain, self.bench.tokenizer, chats, KL_TOKENS)

    def row(self, defence: Defence) -> Judged:
        """A defence judged, with its attacker."""
        name, fitted = defence.name, cache(lambda: defence.fit(self.bench))

        def try_it() -> Tried:
            protected = fitted().protect(self.bench.organism)
            answers = measured(self.exam, protected, self.bench.tokenizer, self._references)
            return Tried(dict(fitted().notes), answers)

        tried = self._stages.keep(name, Tried, try_it)
        self._answers[name] = tried.answers
        row = judged((name, defence.about), self.exam, self.undefended, tried.answers, tried.notes)
        return replace(row, attack=self._attack(name, fitted))

    def _attack(self, name: str, fitted: Callable[[], Fitted]) -> Attack | None:
        budget = self._question.attack
        if budget is None:
            return None

        def assail() -> Assault:
            protected = fitted().protect(attack(self.bench, fitted().known, budget))
            return Assault(fitted().known.how, opened(self.exam, protected, self.bench.tokenizer))

        assault = self._stages.keep(f"{name}-attacked", Assault, assail)
        self._answers[f"{name}-attacked"] = assault.answers
        return attacked(assault.how, self.exam, self._answers[name], assault.answers)

    def seen(self, threshold: float) -> Seen:
        """What a monitor with this threshold reads on test prompts."""
        hot = {family.name: family.chats for family in self.exam.families}
        return self._stages.keep(
            "monitor-seen", Seen, lambda: seen(self.bench, threshold, self.exam.clean, hot)
        )

    def _gate(self) -> Direction:
        def make() -> Direction:
            setting, question = self._setting, self._question
            if question.run:
                hashes = files_sha256(setting.organism)
                gate = gates.stored(Path(question.run), setting, hashes)
            else:
                gate = gates.find_gate(setting)
            return gate

        gate = self._stages.keep("gate", Direction, make, older.gate)
        if not self._stages.ledger.has("gate.safetensors"):
            self._stages.ledger.write({"gate.safetensors": formats.gate_bytes(gate, {})})
        return gate

    def answer_rows(self) -> list[dict[str, Any]]:
        """Every triggered answer of every defence that was tried, a row each."""
        return answer_rows(self._conditions())

    def _conditions(self) -> Iterator[tuple[dict[str, str], dict[str, Sequence[str | bool]]]]:
        for name, answers in {"undefended": self.undefended, **self._answers}.items():
            for family in self.exam.families:
                given = answers.triggered[family.name]
                yield (
                    {"defence": name, "family": family.name},
                    {
                        "prompt": [chat.message for chat in family.chats],
                        "answer": given.answers,
                        "flagged": given.flagged,
                        "shown": self.exam.asked.shown(given.answers),
                    },
                )
