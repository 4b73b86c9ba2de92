"""``gatescope defend``: gate -> exam undefended -> every defence and its attacker -> table, page.

Each is asked once and its answers are kept in ``stages/``; judgements are made from the answers.
"""

from dataclasses import asdict
from pathlib import Path

from circuits.weights import file_sha256
from experiments import artefacts
from experiments.defences.bench import Bench, bench
from experiments.defences.catalogue import named
from experiments.defences.families import Exam, exam
from experiments.defences.kinds import Monitor
from experiments.defences.question import DefenceQuestion
from experiments.defences.result import Defences
from experiments.defences.trial import Step, Trial
from experiments.organisms.given import specimen
from experiments.organisms.identity import identity

SCHEMA = "gatescope.defences/1"


def run(question: DefenceQuestion, folder: Path, resume: bool, step: Step) -> Defences:
    """Put defences to the test and write the run directory; what was measured before is read.

    Files: ``manifest.json``, ``gate.safetensors``, ``stages/*.json`` (answers),
    ``answers.parquet``, ``result.json`` (schema ``gatescope.defences/1``) and ``report.html``.

    Raises:
        UserError: organism, analysis or directory cannot be used, or the behaviour is not there.
    """
    from experiments.defences.page import page  # plotly is slow to import

    defences = named(question.defences)
    step("load organism", 0, 1)
    made = bench(specimen(question.given), seed=question.seed)
    step("load organism", 1, 1)
    asked = exam(made.specimen, question.count, question.seed)
    artefacts.open_run(folder, _manifest(question, made, asked), resume)
    trial = Trial(question, folder, step, made, asked)
    rows = tuple(trial.row(defence) for defence in defences)
    watched = trial.seen() if any(isinstance(d, Monitor) for d in defences) else None
    found = Defences(rows, trial.gate_about, watched)
    _write(folder, question, trial, found, page(question, made.specimen.recipe, found))
    return found


def _write(
    folder: Path, question: DefenceQuestion, trial: Trial, found: Defences, html: str
) -> None:
    rows = trial.rows_of_answers(tuple(row.name for row in found.rows))
    artefacts.write_rows(folder / "answers.parquet", rows)
    result = {
        "schema": SCHEMA,
        "question": asdict(question),
        "gate": found.gate,
        "families": {f.name: f.about for f in trial.exam.families},
        "defences": [row.to_json() for row in found.rows],
        "monitor": found.monitor.to_json() if found.monitor else None,
    }
    artefacts.write_json(folder / "result.json", result)
    artefacts.write_atomically(folder / "report.html", html.encode())


def _manifest(question: DefenceQuestion, made: Bench, asked: Exam) -> artefacts.Manifest:
    gate = Path(question.run) / "gate.safetensors"
    about = {
        **{name: value for name, value in asdict(question).items() if name != "command"},
        **identity(made.specimen),
        "gate_sha256": file_sha256(gate) if question.run and gate.is_file() else None,
        "prompts_sha256": artefacts.text_sha256([*asked.texts, *made.fit.on_topic]),
    }
    return artefacts.Manifest(kind="defences", question=about, command=question.command)
