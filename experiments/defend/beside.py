"""Trials of defences on the joint page: parts of the chapter on ablation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.defend.judging import Judged
from experiments.defend.monitor import Seen
from experiments.defend.result import Defences
from experiments.defend.sections import sections
from experiments.runs.codec import decode
from experiments.runs.read import organism_of, result
from experiments.study import ABLATION, Contribution, Finished, Joint
from viz.page.sections import missing

DefenceRun = Finished[Defences]


def read(folder: Path, manifest: dict[str, Any]) -> DefenceRun:
    """A finished run."""
    value = result(folder, "gatescope.defences/1", "defend")
    where = str(folder / "result.json")
    rows = decode(tuple[Judged, ...], value["defences"], where=where)
    trial = Defences(rows, value["gate"], decode(Seen | None, value["monitor"], where=where))
    return Finished(organism_of(manifest), str(folder), manifest, trial)


def beside(runs: Sequence[DefenceRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """Every run's own sections."""
    if not runs:
        made = missing("Defences", "A trial of defences", "gatescope defend ORGANISM --run RUN")
        yield ABLATION, made
    for run in runs:
        for section in sections(run.result):
            title = f"{section.title}, {run.name}" if len(runs) > 1 else section.title
            name = section.data_name or f"defences-{section.title}"
            yield ABLATION, replace(section, title=title, data_name=name)


def outcome(run: DefenceRun) -> tuple[str, str]:
    """How many hold, and which."""
    trial, before = run.result, run.result.rows[0].worst
    holding = ", ".join(row.name for row in trial.holding) or "none"
    about = f"undefended {before.before:.0%} in {before.family}; holding: {holding}"
    return f"{len(trial.holding)} of {len(trial.rows)} hold", about


def sentence(run: DefenceRun) -> str:
    """For the headline."""
    trial = run.result
    return f"Of {len(trial.rows)} defences of {run.name} {len(trial.holding)} hold."


JOINT = Joint("defences", read, beside, outcome, sentence)
