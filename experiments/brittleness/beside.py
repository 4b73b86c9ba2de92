"""Batteries on the joint page: parts of the chapter of the map."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.brittleness.result import SCHEMA
from experiments.runs.codec import decode
from experiments.runs.read import organism_of, result
from experiments.study import MAP, Contribution, Finished, Joint
from probes.brittleness.retention import Retention
from viz.figures.retention import retention_curves, retention_forest
from viz.page.page import Section
from viz.page.sections import missing

BatteryRun = Finished[Retention]
_PROSE = """\
Only prompts that show the behaviour unperturbed are counted; an area is the mean share kept from \
no dose to a family's strongest."""


def read(folder: Path, manifest: dict[str, Any]) -> BatteryRun:
    """A finished run."""
    value = result(folder, SCHEMA, "brittleness")["retention"]
    retention = decode(Retention, value, where=str(folder / "result.json"))
    return Finished(organism_of(manifest), str(folder), manifest, retention)


def beside(runs: Sequence[BatteryRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """A part for each."""
    if not runs:
        command = "gatescope brittleness ORGANISM"
        yield MAP, missing("What a battery leaves", "A battery of perturbations", command)
    for run in runs:
        figures = (retention_forest(run.result), retention_curves(run.result))
        title, name = f"What a battery leaves, {run.name}", f"battery-{run.name}"
        yield MAP, Section(title, _PROSE, figures, data_name=name)


def outcome(run: BatteryRun) -> tuple[str, str]:
    """What is kept, and where the least is."""
    family, least = min(run.result.families.items(), key=lambda pair: pair[1].value)
    about = f"unperturbed {run.result.baseline:.0%}; least under {family}: {least:.0%}"
    return f"keeps {run.result.area:.0%}", about


def sentence(run: BatteryRun) -> str:
    """For the headline."""
    return f"A battery leaves {run.result.area:.0%} of {run.name}'s behaviour."


JOINT = Joint("brittleness", read, beside, outcome, sentence)
