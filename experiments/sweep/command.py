"""``gatescope sweep``: a grid of organisms from one YAML file, measured cell by cell."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.errors import expect
from experiments.options import Json
from experiments.runs.locks import held
from experiments.runs.terminal import CONSOLE, say, tell
from experiments.sweep.engine.grid import read_measure
from experiments.sweep.engine.run import Outcome, missing
from experiments.sweep.engine.run import sweep as run
from experiments.sweep.engine.store import Store
from experiments.sweep.kind import Findings, Kind, located


def sweep(
    file: Annotated[Path, typer.Argument(help="YAML file of axes; see docs/sweeps.md.")],
    out: Annotated[
        Path, typer.Option(help="Store of cells, shared by sweeps; sweeps/NAME holds the table.")
    ] = Path("runs/sweep"),
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process; shares the cores by default.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="Ray cluster instead: HOST:PORT, auto, or local.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try cells again that failed.")] = False,
    as_json: Json = False,
) -> None:
    """Train and measure every cell of a grid; what is there already is not done again."""
    from experiments.sweep.engine.live import LiveView
    from experiments.sweep.engine.local import Local
    from experiments.sweep.engine.ray import Ray

    kind = kind_of(file)
    job, store = kind.job(file, retry_failed), Store(out)
    executor = Ray(ray) if ray else Local(workers, threads)
    with held(out):  # until the page is written
        tasks = missing(job, store.load(job.cells))
        with LiveView(CONSOLE, tasks, job.grid.varying, job.cost) as view:
            outcome = run(job, store, executor, view)
        command = shlex.join(["gatescope", "sweep", str(file)])
        with CONSOLE.status("analysing the table"):
            text = located(file).read_text(encoding="utf-8")
            about = summary(outcome, kind.report(outcome, command, text))
            store.list_files(job.grid.name)
    if as_json:
        say(json.dumps(about, indent=1))
    else:
        _tell(about)
    if outcome.failed:
        raise typer.Exit(1)


def kind_of(file: Path) -> Kind:
    """What a file's cells are measured for.

    Raises:
        UserError: no such file, or nothing that is known.
    """
    from experiments.sweep.budget.study import BUDGET
    from experiments.sweep.zoo.study import ZOO

    kinds = {"budget": BUDGET, "zoo": ZOO}
    measure = read_measure(located(file))
    expect(measure in kinds, f"one of {', '.join(kinds)}", repr(measure), of=f"{file}: measure")
    return kinds[measure]


def summary(outcome: Outcome, findings: Findings) -> dict[str, Any]:
    """What came of a sweep, as ``--json`` prints it."""
    return {
        "done": len(outcome.done),
        "skipped": len(outcome.skipped),
        "failed": len(outcome.failed),
        "damaged": list(outcome.damaged),
        "table": str(outcome.table),
        "sentences": list(findings.sentences),
        "report": str(findings.page),
    }


def _tell(about: dict[str, Any]) -> None:
    for line in about["damaged"]:
        tell(line, "yellow")
    counts = "{done} cells measured, {skipped} were there, {failed} failed".format_map(about)
    say("\n".join([counts, *about["sentences"], about["report"]]))
