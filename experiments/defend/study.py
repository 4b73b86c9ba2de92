"""``gatescope defend``: gate -> exam undefended -> every defence and its attacker -> table, page.

Each is asked once and its answers are kept in ``stages/``; judgements are made from the answers.
"""

from dataclasses import asdict
from pathlib import Path

from circuits.weights import file_sha256
from experiments.defend.catalogue import named
from experiments.defend.defences import Monitor
from experiments.defend.families import Exam, exam
from experiments.defend.question import DefenceQuestion
from experiments.defend.result import Defences
from experiments.defend.setting import Bench, bench
from experiments.defend.trial import Step, Trial
from experiments.organisms.hashes import identity
from experiments.organisms.organism import open_organism
from experiments.runs import files
from experiments.runs.codec import as_json

SCHEMA = "gatescope.defences/1"


def run(question: DefenceQuestion, folder: Path, resume: bool, step: Step) -> Defences:
    """Put defences to the test and write the run directory; what was measured before is read.

    Files: ``manifest.json``, ``gate.safetensors``, ``stages/*.json`` (answers),
    ``answers.parquet``, ``result.json`` (schema ``gatescope.defences/1``) and ``report.html``.

    Raises:
        UserError: organism, analysis or directory cannot be used, or the behaviour is not there.
    """
    from experiments.defend.sections import page  # plotly is slow to import

    defences = named(question.defences)
    step("load organism", 0, 1)
    made = bench(open_organism(question.given), seed=question.seed)
    step("load organism", 1, 1)
    asked = exam(made.organism, question.count, question.seed)
    files.open_run(folder, _manifest(question, made, asked), resume)
    trial = Trial(question, folder, step, made, asked)
    rows = tuple(trial.row(defence) for defence in defences)
    watched = trial.seen() if any(isinstance(d, Monitor) for d in defences) else None
    found = Defences(rows, trial.gate_about, watched)
    _write(folder, question, trial, found, page(question, made.organism.recipe, found))
    return found


def _write(
    folder: Path, question: DefenceQuestion, trial: Trial, found: Defences, html: str
) -> None:
    rows = trial.rows_of_answers(tuple(row.name for row in found.rows))
    files.write_rows(folder / "answers.parquet", rows)
    result = {
        "schema": SCHEMA,
        "question": asdict(question),
        "gate": found.gate,
        "families": {f.name: f.about for f in trial.exam.families},
        "defences": [{**as_json(row), "holds": row.holds} for row in found.rows],
        "monitor": as_json(found.monitor),
    }
    files.write_json(folder / "result.json", result)
    files.write_atomically(folder / "report.html", html.encode())


def _manifest(question: DefenceQuestion, made: Bench, asked: Exam) -> files.Manifest:
    gate = Path(question.run) / "gate.safetensors"
    about = {
        **{name: value for name, value in asdict(question).items() if name != "command"},
        **identity(made.organism),
        "gate_sha256": file_sha256(gate) if question.run and gate.is_file() else None,
        "prompts_sha256": files.text_sha256([*asked.texts, *made.fit.on_topic]),
    }
    return files.Manifest(kind="defences", question=about, command=question.command)
