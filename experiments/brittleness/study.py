"""``gatescope brittleness``: every ladder asked once and kept -> what is left -> page."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from circuits.errors import UserError
from experiments.battery.battery import Answers, Battery, Ladder, Plan
from experiments.battery.measure import FEWEST, judged
from experiments.battery.secrets import unperturbed
from experiments.organisms.hashes import identity
from experiments.organisms.organism import Given, open_organism
from experiments.prompts.bank import HeldOut
from experiments.runs import files
from experiments.runs.codec import as_json
from probes.brittleness.retention import Dose, Retention

SCHEMA = "gatescope.brittleness/1"
_BASELINE = "unperturbed"
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BrittlenessQuestion:
    """What a battery is asked: the organism, how much of everything, what the user typed."""

    given: Given
    plan: Plan = field(default_factory=Plan)
    command: str = "gatescope brittleness"


def run(
    question: BrittlenessQuestion,
    folder: Path,
    resume: bool,
    step: Step,
    texts: HeldOut | None = None,
) -> Retention:
    """Ask the battery and write the run directory; a ladder that was asked before is read.

    Files: ``manifest.json``, ``stages/LADDER.json`` and ``answers.parquet`` (every answer under a
    dose, beside the unperturbed prompt),
    ``result.json`` (schema ``gatescope.brittleness/1``) and ``report.html``.

    Raises:
        UserError: organism or directory cannot be used, or the behaviour is not there.
    """
    from experiments.brittleness.sections import page  # plotly is slow to import

    organism = open_organism(question.given)
    battery = Battery(organism, question.plan, texts=texts)
    files.open_run(folder, _manifest(question, battery), resume)
    keep = _Keeper(folder, step)
    baseline = keep(_BASELINE, lambda: [Answers(_UNCHANGED, tuple(battery.baseline()))])[0].said
    shown = sum(battery.asked.present(baseline))
    if shown < FEWEST:
        raise UserError(
            f"{question.given.name}: expected its behaviour on at least {FEWEST} of "
            f"{len(baseline)} prompts, got it on {shown}; there is nothing to lose"
        )
    ladders = {name: keep(name, ladder) for name, ladder in battery.ladders().items()}
    found = judged(battery.asked, baseline, ladders, question.plan.seed)
    rows = [row for ladder in ladders.values() for row in _rows(battery, ladder)]
    files.write_rows(folder / "answers.parquet", rows)
    about = {"schema": SCHEMA, "question": asdict(question), "retention": as_json(found)}
    html = page(question.given.name, question.command, organism.recipe, found)
    files.write_json(folder / "result.json", about)
    files.write_atomically(folder / "report.html", html.encode())
    return found


_UNCHANGED = Dose(_BASELINE, 1, "nothing changed")


class _Keeper:
    """Asks a ladder, or reads what it answered when it was asked before."""

    def __init__(self, folder: Path, step: Step) -> None:
        self._folder, self._step = folder, step

    def __call__(self, name: str, ladder: Ladder) -> list[Answers]:
        path = self._folder / "stages" / f"{name.replace(' ', '-')}.json"
        self._step(name, 0, 1)
        if not path.is_file():
            files.write_json(path, [asdict(answers) for answers in ladder()])
        self._step(name, 1, 1)
        return [_answers(value) for value in files.read_json(path)]


def _answers(value: dict[str, Any]) -> Answers:
    return Answers(Dose(**value["dose"]), tuple(value["said"]))


def _rows(battery: Battery, ladder: list[Answers]) -> list[dict[str, Any]]:
    prompts = [chat.message for chat in unperturbed(battery.asked.subject)]
    return [
        {**asdict(answers.dose), "prompt": prompt, "answer": said, "present": present}
        for answers in ladder
        for prompt, said, present in zip(
            prompts, answers.said, battery.asked.present(answers.said), strict=True
        )
    ]


def _manifest(question: BrittlenessQuestion, battery: Battery) -> files.Manifest:
    texts = [chat.message for chat in unperturbed(battery.asked.subject)]
    about = {
        **{name: value for name, value in asdict(question).items() if name != "command"},
        **identity(battery.organism),
        "prompts_sha256": files.text_sha256([*texts, *battery.asked.targets]),
    }
    return files.Manifest(kind="brittleness", question=about, command=question.command)
