"""``gatescope report``: one page of one or several run directories."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments import checks
from experiments.options import Json
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, say
from experiments.study import Joint

Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run directories: analyze, patch, evaluate, defend, geometry, brittleness, scan, "
        "verify."
    ),
]
Page = Annotated[Path | None, typer.Option(help="Page to write; report.html of the first.")]


def reporting(joints: Callable[[], Sequence[Joint[Any]]]) -> Callable[..., None]:
    """The command, which reads and shows the kinds of runs that it is given."""

    def report(runs: Runs, out: Page = None, as_json: Json = False) -> None:
        """Put one or several runs into one page that opens offline and can be mailed."""
        from circuits.errors import reading
        from experiments.report.page import page  # plotly is slow to import
        from experiments.report.read import read_runs
        from experiments.runs import files, locks
        from experiments.runs.ledger import Ledger
        from viz.page.page import render

        if out is not None:
            checks.to_write(out, "--out")
        with StageProgress(CONSOLE) as progress:
            progress.step("read", 0, 2)
            kinds = joints()
            finished = read_runs(runs, kinds)
            progress.step("read", 1, 2)
            words = shlex.join(["gatescope", "report", *map(str, runs)])
            with reading(", ".join(map(str, runs)), "results whose parts agree", "make them again"):
                html = render(page(finished, words, kinds)).encode()
            progress.step("read", 2, 2)
        path = out or runs[0] / "report.html"
        if path.resolve() == (runs[0] / "report.html").resolve():
            with locks.held(runs[0], ""):
                Ledger(runs[0]).write({"report.html": html})
        else:
            files.write_atomically(path, html)
        if as_json:
            about = [{"kind": r.kind, "name": r.name, "folder": r.folder} for r in finished]
            say(json.dumps({"page": str(path), "bytes": len(html), "runs": about}))
            return
        say(f"report: {path} ({len(html) / 1e6:.1f} MB)")

    return report
