"""Measures what is not in a run directory yet; a stage is asked once and judged when it is read."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from circuits.types import Direction, Site
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
from experiments.organisms.hashes import files_sha256
from experiments.runs import files as artefacts
from experiments.runs.codec import as_json, decode

_ASKED_ANYWAY = 0.05  # share of an optional family that must show the behaviour undefended
Step = Callable[[str, int, int], None]


class Trial:
    """Measures what is not in the run directory yet."""

    def __init__(
        self, question: DefenceQuestion, folder: Path, step: Step, made: Bench, asked: Exam
    ) -> None:
        self._question, self._folder, self._step = question, folder, step
        self._bench, self._whole = made, asked

    @cached_property
    def bench(self) -> Bench:
        """The bench with its gate."""
        return replace(self._bench, gate=self._gate())

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
        value = self._kept(
            "undefended",
            lambda: as_json(measured(self._whole, self._bench.plain, self._bench.tokenizer)),
        )
        found = decode(Answers, value)
        rate = shown(self._whole, found.triggered[FITTED].answers)
        if rate.value * rate.n < FEWEST:
            raise UserError(
                f"{self._question.given.name}: expected its behaviour on at least {FEWEST} of "
                f"{rate.n} triggered prompts, got it on {rate.value * rate.n:.0f}; there is "
                "nothing to defend from"
            )
        return found

    @cached_property
    def exam(self) -> Exam:
        """The exam less the optional families in which nothing shows undefended."""
        said = self.undefended.triggered

        def stays(name: str) -> bool:
            return shown(self._whole, said[name].answers).value >= _ASKED_ANYWAY

        kept = [f for f in self._whole.families if not f.optional or stays(f.name)]
        return replace(self._whole, families=tuple(kept))

    @cached_property
    def _references(self) -> list[Reference]:
        chats = self.exam.ordinary
        return reference(self.bench.plain, self.bench.tokenizer, chats, KL_TOKENS)

    def row(self, defence: Defence) -> Judged:
        """A defence judged, with its attacker."""
        before = self.undefended
        fitted = _Once(lambda: defence.fit(self.bench))

        def make() -> dict[str, Any]:
            protected = fitted.value.protect(self.bench.organism)
            said = measured(self.exam, protected, self.bench.tokenizer, self._references)
            return {"notes": dict(fitted.value.notes), "answers": as_json(said)}

        kept = self._kept(defence.name, make)
        after = decode(Answers, kept["answers"])
        found = judged((defence.name, defence.about), self.exam, before, after, kept["notes"])
        return replace(found, attack=self._attack(defence, fitted, after))

    def _attack(self, defence: Defence, fitted: "_Once", defended: Answers) -> Attack | None:
        budget = self._question.attack
        if budget is None:
            return None

        def make() -> dict[str, Any]:
            known = fitted.value.known
            protected = fitted.value.protect(attack(self.bench, known, budget))
            said = opened(self.exam, protected, self.bench.tokenizer)
            return {"how": known.how, "answers": as_json(said)}

        kept = self._kept(f"{defence.name}-attacked", make)
        return attacked(kept["how"], self.exam, defended, decode(Answers, kept["answers"]))

    def seen(self) -> Seen:
        """What the monitor reads on test prompts; its threshold is that of its row."""

        def make() -> dict[str, Any]:
            level = artefacts.read_json(self._path("monitor"))["notes"]["threshold"]
            hot = {f.name: f.chats for f in self.exam.families}
            return as_json(seen(self.bench, level, self.exam.clean, hot))

        return decode(Seen, self._kept("monitor-seen", make))

    def _gate(self) -> Direction:
        path = self._folder / "gate.safetensors"

        def make() -> dict[str, Any]:
            given = self._question.run
            gate = self._stored(Path(given)) if given else gates.found(self._bench)
            artefacts.write_tensors(path, {"direction": gate.vector}, {"site": str(gate.site)})
            return {
                "site": asdict(gate.site),
                "estimator": gate.estimator,
                "clean_mean": gate.clean_mean,
                "triggered_mean": gate.triggered_mean,
            }

        about = self._kept("gate", make)
        vector = artefacts.read_tensors(path)["direction"]
        return Direction(**{**about, "site": Site(**about["site"]), "vector": vector})

    def _stored(self, run: Path) -> Direction:
        files = files_sha256(self._question.given.name, self._bench.organism)
        return gates.stored(run, self._bench, files)

    def _kept(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self._path(name)
        self._step(name, 0, 1)
        if not path.is_file():
            artefacts.write_json(path, make())
        self._step(name, 1, 1)
        return artefacts.read_json(path)

    def _path(self, name: str) -> Path:
        return self._folder / "stages" / f"{name}.json"

    def rows_of_answers(self, names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Every triggered answer, a row each."""
        found = [("undefended", self.undefended)]
        for name in (n for d in names for n in (d, f"{d}-attacked") if self._path(n).is_file()):
            found.append((name, decode(Answers, artefacts.read_json(self._path(name))["answers"])))
        return [
            {
                "defence": name,
                "family": family.name,
                "prompt": chat.message,
                "answer": answer,
                "flagged": flagged,
                "shown": bool(shown(self.exam, [answer]).value),
            }
            for name, answers in found
            for family in self.exam.families
            for chat, answer, flagged in zip(
                family.chats,
                answers.triggered[family.name].answers,
                answers.triggered[family.name].flagged,
                strict=True,
            )
        ]


class _Once:
    """A fitted defence, fitted when it is first needed."""

    def __init__(self, fit: Callable[[], Fitted]) -> None:
        self._fit = fit

    @cached_property
    def value(self) -> Fitted:
        return self._fit()
