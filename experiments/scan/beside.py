"""Scans on the joint page: a chapter of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from circuits.errors import expect, quoted
from experiments.runs.codec import decode
from experiments.runs.ledger import Ledger
from experiments.runs.read import organism_of, result
from experiments.scan.scan import SCHEMA, Scan, ScanResult
from experiments.scan.sections import headline, sections
from experiments.study import Contribution, Finished, Joint
from viz.page.page import Section
from viz.page.sections import for_each

TITLE = "Scan for unknown triggers"
ScanRun = Finished[ScanResult]


def read(folder: Path, manifest: dict[str, Any]) -> ScanRun:
    """A finished run: its result, and every candidate from the table beside it."""
    value = result(folder, SCHEMA, "scan")
    table = Ledger(folder).rows("scores.parquet", ("model", "rank"))
    suspect = _scan(value["suspect"], table, folder)
    clean = tuple(_scan(one, table, folder) for one in value["clean"])
    word = value["named"]["word"] if value["named"] else ""
    scans = ScanResult(suspect, clean, word)
    return Finished(organism_of(manifest), str(folder), manifest, scans)


def _scan(value: dict[str, Any], table: pd.DataFrame, folder: Path) -> Scan:
    own = pd.DataFrame(table[table["model"] == value["name"]])
    rows = own.sort_values("rank").to_dict("records")
    scan = decode(Scan, {**value, "scored": rows}, where=str(folder / "result.json"))
    strangers = {one.word for one in scan.answers} - {one.text for one in scan.scored}
    whole = rows and not strangers
    got = f"{len(rows)} and answers to {quoted(sorted(strangers))}"
    of = str(folder / "scores.parquet")
    expect(whole, f"all candidates of {quoted(scan.name)}", got, "make the run again", of)
    return scan


def beside(runs: Sequence[ScanRun], every: Sequence[Any]) -> Iterator[Contribution]:
    """The sections of each run's own page."""
    if runs:
        yield TITLE, for_each(TITLE, [(run.name, run.result) for run in runs], _chapter)


def _chapter(scans: ScanResult) -> Section:
    return Section(TITLE, headline(scans.suspect), data_name="scan", parts=sections(scans))


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
    verdict = f"an alarm for {', '.join(map(repr, alarms))}" if alarms else "no alarm"
    return f"A scan of {run.name} raises {verdict}."


JOINT = Joint("scan", read, beside, outcome, sentence)
