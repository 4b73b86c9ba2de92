"""Trials of defences on the joint page: parts of the chapter on ablation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.defend.judging import DefenceResult
from experiments.defend.sections import sections
from experiments.runs.codec import decode
from experiments.runs.read import organism_of, result
from experiments.study import ABLATION, Contribution, Finished, Joint
from viz.page.sections import missing

DefenceRun = Finished[DefenceResult]


def read(folder: Path, manifest: dict[str, Any]) -> DefenceRun:
    """A finished run."""
    value = result(folder, "gatescope.defences/1", "defend")
    trial = decode(DefenceResult, value, where=str(folder / "result.json"))
    return Finished(organism_of(manifest), str(folder), manifest, trial)


def beside(runs: Sequence[DefenceRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """Every run's own sections."""
    if not runs:
        command = "gatescope defend ORGANISM --run RUN"
        yield ABLATION, missing("Defences", "A trial of defences", command)
    for run in runs:
        for section in sections(run.result):
            title = f"{section.title}, {run.name}" if len(runs) > 1 else section.title
            name = section.data_name or f"defences-{section.title}"
            yield ABLATION, replace(section, title=title, data_name=name)


def outcome(run: DefenceRun) -> tuple[str, str]:
    """How many hold, and which."""
    trial, before = run.result, run.result.defences[0].worst
    holding = ", ".join(row.name for row in trial.holding) or "none"
    about = f"undefended {before.before:.0%} in {before.family}; holding: {holding}"
    return f"{len(trial.holding)} of {len(trial.defences)} hold", about


def sentence(run: DefenceRun) -> str:
    """For the headline."""
    trial = run.result
    return f"Of {len(trial.defences)} defences of {run.name} {len(trial.holding)} hold."


JOINT = Joint("defences", read, beside, outcome, sentence)
