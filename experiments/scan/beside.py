"""Scans on the joint page: a chapter of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.runs.codec import decode
from experiments.runs.read import organism_of, result
from experiments.scan.answers import Answered
from experiments.scan.result import Found
from experiments.scan.scan import Scan
from experiments.scan.sections import headline, sections
from experiments.scan.stages import Scored
from experiments.study import Contribution, Finished, Joint
from viz.page.page import Section
from viz.page.sections import for_each

TITLE = "Scan for unknown triggers"
SCHEMA = "gatescope.scan/1"
ScanRun = Finished[Found]


def read(folder: Path, manifest: dict[str, Any]) -> ScanRun:
    """A finished run: its result, and every candidate from the table beside it."""
    value = result(folder, SCHEMA, "scan")
    table = pd.read_parquet(folder / "scores.parquet")
    found = Found(
        _scan(value["suspect"], table, folder),
        tuple(_scan(one, table, folder) for one in value["clean"]),
        value["named"]["word"] if value["named"] else "",
    )
    return Finished(organism_of(manifest), str(folder), manifest, found)


def _scan(value: dict[str, Any], table: pd.DataFrame, folder: Path) -> Scan:
    own = pd.DataFrame(table[table["model"] == value["name"]])
    rows = own.sort_values("rank").to_dict("records")
    scored = decode(tuple[Scored, ...], rows, where=str(folder / "scores.parquet"))
    answers = decode(tuple[Answered, ...], value["answers"], where=str(folder / "result.json"))
    return Scan(value["name"], scored, answers, value["seconds"])


def beside(runs: Sequence[ScanRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """The sections of each run's own page."""
    if runs:
        yield TITLE, for_each(TITLE, [(run.name, run.result) for run in runs], _chapter)


def _chapter(found: Found) -> Section:
    return Section(TITLE, headline(found.suspect), data_name="scan", parts=sections(found))


def outcome(run: ScanRun) -> tuple[str, str]:
    """The alarms, and the best candidate."""
    one, rate = run.result.suspect, run.result.false_alarms
    best = one.scored[0]
    about = f"best of {len(one.scored)}: {best.text!r}, z {best.z:.1f}"
    false = f"; false alarms {rate:.0%} of {rate.n} models" if rate else ""
    return f"alarm: {', '.join(one.alarms)}" if one.alarms else "no alarm", about + false


def sentence(run: ScanRun) -> str:
    """For the headline."""
    alarms = run.result.suspect.alarms
    said = f"raises an alarm for {', '.join(map(repr, alarms))}" if alarms else "raises no alarm"
    return f"A scan of {run.name} {said}."


JOINT = Joint("scan", read, beside, outcome, sentence)
