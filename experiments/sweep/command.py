"""``gatescope sweep``: a grid of organisms from one YAML file, measured cell by cell."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.errors import UserError
from experiments.options import CONSOLE, Json
from experiments.sweep.shipped import located


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
    from experiments.sweep.engine.run import missing
    from experiments.sweep.engine.run import sweep as run
    from experiments.sweep.engine.store import Store

    kind = _kind(file)
    job, store = kind.job(file, retry_failed), Store(out)
    executor = Ray(ray) if ray else Local(workers, threads)
    tasks = missing(job, store.load(job.cells))
    with LiveView(CONSOLE, tasks, job.grid.varying, job.cost) as view:
        outcome = run(job, store, executor, view)
    with CONSOLE.status("analysing the table"):
        report = kind.report(job, store, outcome, file)
    _tell({**report.summary, "report": str(report.path)}, as_json)
    if outcome.failed:
        raise typer.Exit(1)


def _kind(file: Path) -> Any:
    """The module that makes a file's job and reports on its table."""
    from experiments.sweep.budget import study as budget
    from experiments.sweep.engine.grid import read_measure
    from experiments.sweep.zoo import study as zoo

    kinds = {"budget": budget, "zoo": zoo}
    measure = read_measure(located(file))
    if measure not in kinds:
        raise UserError(f"{file}: measure: expected one of {', '.join(kinds)}, got {measure!r}")
    return kinds[measure]


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=1))
        return
    for line in summary["damaged"]:
        CONSOLE.print(line, style="yellow", markup=False)
    print(
        f"{summary['done']} cells measured, {summary['skipped']} were there, "
        f"{summary['failed']} failed"
    )
    for sentence in summary["sentences"]:
        print(sentence)
    print(summary["report"])
