"""``gatescope report``: one page of one or several run directories."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from experiments.options import CONSOLE, Json
from experiments.runs.progress import StageProgress

Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run directories: analyze, patch, evaluate, defend, geometry, brittleness."
    ),
]


def report(
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option(help="Page to write; report.html of the first.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put one or several runs into one page that opens offline and can be mailed."""
    from experiments.report.page import page  # plotly is slow to import
    from experiments.report.read import read_runs
    from experiments.runs import files

    with StageProgress(CONSOLE) as progress:
        progress.step("read", 0, 2)
        found = read_runs(runs)
        progress.step("read", 1, 2)
        words = ["gatescope", "report", *map(str, runs)]
        html = page(found, shlex.join(words))
        progress.step("read", 2, 2)
    path = out or runs[0] / "report.html"
    files.write_atomically(path, html.encode())
    if as_json:
        about = [{"kind": r.manifest["kind"], "name": r.name, "folder": r.folder} for r in found]
        print(json.dumps({"page": str(path), "bytes": len(html.encode()), "runs": about}))
        return
    print(f"report: {path} ({len(html.encode()) / 1e6:.1f} MB)")
