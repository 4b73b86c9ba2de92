"""Measures what is not in a run directory yet; a stage is asked once and judged when it is read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from circuits.types import Direction
from experiments.defend import gates
from experiments.defend.attacker import attack
from experiments.defend.defences import Defence, Fitted
from experiments.defend.families import FITTED, Exam
from experiments.defend.judging import Attack, Judged, attacked, judged, shown
from experiments.defend.measure import KL_TOKENS, Answers, measured, opened
from experiments.defend.monitor import Seen, seen
from experiments.defend.protected import Reference, reference
from experiments.defend.question import FEWEST, DefenceQuestion
from experiments.defend.setting import Bench
from experiments.organisms.organism import files_sha256
from experiments.runs import files, older
from experiments.runs.stages import Stages

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
        self._question, self._stages = question, stages
        self._setting, self._whole = setting, whole

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
        rate = shown(self._whole, answers.triggered[FITTED].answers)
        if rate.value * rate.n < FEWEST:
            raise UserError(
                f"{self._question.given.name}: expected its behaviour on at least {FEWEST} of "
                f"{rate.n} triggered prompts, got it on {rate.value * rate.n:.0f}; there is "
                "nothing to defend from"
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
        fitted = _Once(lambda: defence.fit(self.bench))
        tried = self._tried(defence.name, fitted)
        after, named = tried.answers, (defence.name, defence.about)
        row = judged(named, self.exam, self.undefended, after, tried.notes)
        return replace(row, attack=self._attack(defence.name, fitted, after))

    def _tried(self, name: str, fitted: "_Once | None" = None) -> Tried:
        """A defence's answers; those of one that was not fitted must be there."""

        def make() -> Tried:
            assert fitted is not None
            protected = fitted.value.protect(self.bench.organism)
            answers = measured(self.exam, protected, self.bench.tokenizer, self._references)
            return Tried(dict(fitted.value.notes), answers)

        return self._stages.keep(name, Tried, make)

    def _attack(self, name: str, fitted: "_Once", defended: Answers) -> Attack | None:
        budget = self._question.attack
        if budget is None:
            return None

        def make() -> Assault:
            known = fitted.value.known
            protected = fitted.value.protect(attack(self.bench, known, budget))
            return Assault(known.how, opened(self.exam, protected, self.bench.tokenizer))

        kept = self._stages.keep(f"{name}-attacked", Assault, make)
        return attacked(kept.how, self.exam, defended, kept.answers)

    def seen(self) -> Seen:
        """What the monitor reads on test prompts; its threshold is that of its row."""

        def make() -> Seen:
            level = self._tried("monitor").notes["threshold"]
            hot = {f.name: f.chats for f in self.exam.families}
            return seen(self.bench, level, self.exam.clean, hot)

        return self._stages.keep("monitor-seen", Seen, make)

    def _gate(self) -> Direction:
        def make() -> Direction:
            given = self._question.run
            gate = self._stored(Path(given)) if given else gates.found(self._setting)
            path = self._stages.folder / "gate.safetensors"
            files.write_tensors(path, {"direction": gate.vector}, {"site": str(gate.site)})
            return gate

        return self._stages.keep("gate", Direction, make, older.gate)

    def _stored(self, run: Path) -> Direction:
        hashes = files_sha256(self._question.given.name, self._setting.organism)
        return gates.stored(run, self._setting, hashes)

    def answer_rows(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Every triggered answer, a row each."""
        yield from self._rows("undefended", self.undefended)
        for name in names:
            yield from self._rows(name, self._tried(name).answers)
            if self._question.attack is not None:
                assault = self._stages.keep(f"{name}-attacked", Assault, _missing)
                yield from self._rows(f"{name}-attacked", assault.answers)

    def _rows(self, name: str, answers: Answers) -> Iterator[dict[str, Any]]:
        for family in self.exam.families:
            said = answers.triggered[family.name]
            for chat, answer, flagged in zip(family.chats, said.answers, said.flagged, strict=True):
                yield {
                    "defence": name,
                    "family": family.name,
                    "prompt": chat.message,
                    "answer": answer,
                    "flagged": flagged,
                    "shown": bool(shown(self.exam, [answer]).value),
                }


def _missing() -> Any:
    raise AssertionError("expected a stage that its row has made")


class _Once:
    """A fitted defence, fitted when it is first needed."""

    def __init__(self, fit: Callable[[], Fitted]) -> None:
        self._fit = fit

    @cached_property
    def value(self) -> Fitted:
        return self._fit()
