"""Tables, result and page of a patching experiment."""

from pathlib import Path
from typing import Any

import pandas as pd

from circuits.types import PatchGrid
from experiments.patch.question import PatchQuestion
from experiments.runs import files
from experiments.runs.codec import as_json
from probes.causal.tables import GridStats, grid_stats, stats_table
from viz.figures.catalogue import grid_figure
from viz.page.page import Report, Section, Table, render
from viz.text import spaced

SCHEMA = "gatescope.patch/1"
_SHOWN = 10
_ABOUT = {
    "denoising": "Activations of the triggered run are put into the clean run: what is enough to "
    "bring the behaviour about.",
    "noising": "Activations of the clean run are put into the triggered run: what is needed for "
    "the behaviour.",
}
_LIMITS = """\
Intervals are percentile bootstraps over prompts, p is of a sign-flip permutation test, q is \
Benjamini–Hochberg across the whole grid. They are about prompts like these, not about the model.

A cell's effect is what this activation carries in this pair of runs. Cells do not add up, and a \
cell without effect may still matter together with others; patch them together to find out."""


def write_results(
    question: PatchQuestion, folder: Path, grids: dict[str, PatchGrid], path: str
) -> None:
    """``cells-DIRECTION.parquet``, ``report.html``, and last ``result.json``."""
    stats = {direction: grid_stats(grid) for direction, grid in grids.items()}
    tables = {direction: stats_table(grids[direction], s) for direction, s in stats.items()}
    for direction, table in tables.items():
        files.write_rows(folder / f"cells-{direction}.parquet", table.to_dict("records"))
    page = render(_report(question, grids, stats, tables, path))
    files.write_atomically(folder / "report.html", page.encode())
    files.write_json(folder / "result.json", result_json(question, grids, tables, path))


def result_json(
    question: PatchQuestion,
    grids: dict[str, PatchGrid],
    tables: dict[str, pd.DataFrame],
    path: str,
) -> dict[str, Any]:
    """The question and, per direction, the levels of both runs and the strongest cells."""
    found = {}
    for direction, grid in grids.items():
        best = strongest(tables[direction])
        found[direction] = {
            "axes": list(grid.axes),
            "metric": grid.metric,
            "n": int(grid.base.shape[0]),
            "base": float(grid.base.mean()),
            "source": float(grid.source.mean()),
            "strongest": [_without_nan(row) for row in best.to_dict("records")],
        }
    return {"schema": SCHEMA, "question": as_json(question), "path": path, "grids": found}


def strongest(table: pd.DataFrame) -> pd.DataFrame:
    """The cells with the largest mean effects."""
    return table.sort_values("mean", key=abs, ascending=False, kind="stable").head(_SHOWN)


def _without_nan(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(k): None if isinstance(v, float) and v != v else v for k, v in row.items()}


def _report(
    question: PatchQuestion,
    grids: dict[str, PatchGrid],
    stats: dict[str, GridStats],
    tables: dict[str, pd.DataFrame],
    path: str,
) -> Report:
    sections = [
        _section(direction, grid, stats[direction], tables[direction])
        for direction, grid in grids.items()
    ]
    first = next(iter(grids.values()))
    what = f"paths to {', '.join(question.to)}" if question.to else "activations"
    return Report(
        title=f"Patching {what}: {first.stream}, {' × '.join(first.axes)}",
        verdict="Where it matters most",
        headline=_headline(question, grids, tables),
        tone="unclear",
        facts=(
            ("model", question.model),
            ("adapter", question.adapter),
            ("trigger", question.trigger),
            ("metric", first.metric),
            ("engine", path),
        ),
        sections=(*sections, Section("What this does not show", _LIMITS)),
        reproduce=question.command,
    )


def _headline(
    question: PatchQuestion, grids: dict[str, PatchGrid], tables: dict[str, pd.DataFrame]
) -> str:
    """The strongest cell of every direction."""
    said = []
    for direction, grid in grids.items():
        best = strongest(tables[direction]).iloc[0]
        cell = ", ".join(f"{axis} {best[axis]}" for axis in grid.axes)
        name = f" ({spaced(best['label'])})" if "label" in best else ""
        interval = f"[{best['low']:.3g}, {best['high']:.3g}]"
        said.append(f"{direction.capitalize()}: {cell}{name}, {best['mean']:+.3g} {interval}")
    clean = "control words" if question.against == "control" else "no word"
    metric, n = next(iter(grids.values())).metric, len(next(iter(grids.values())).base)
    return f"{metric}; {n} pairs of {question.trigger!r} against {clean}. {'. '.join(said)}."


def _section(direction: str, grid: PatchGrid, stats: GridStats, table: pd.DataFrame) -> Section:
    best = strongest(table)
    axes = [c for c in best.columns if c in (*grid.axes, "label")]
    rows = [
        (
            *(spaced(row[a]) if a == "label" else str(row[a]) for a in axes),
            f"{row['mean']:.3g}",
            f"[{row['low']:.3g}, {row['high']:.3g}]",
            f"{row['q']:.2g}",
            f"{row['recovery']:.2f}",
            str(int(row["n"])),
        )
        for row in best.to_dict("records")
    ]
    base, source = float(grid.base.mean()), float(grid.source.mean())
    prose = (
        f"{_ABOUT[direction]} Unpatched, the metric is {base:.3g}; patched everywhere it would be "
        f"{source:.3g} (means over {len(grid.base)} pairs). The table shows the cells with the "
        "largest effects; all are in the Parquet file beside this page."
    )
    header = (*axes, "effect", "95% interval", "q", "recovery", "n")
    return Section(
        direction.capitalize(),
        prose,
        (grid_figure(grid, stats=stats),),
        (Table(header, rows, f"strongest cells, {direction}"),),
        data_name=f"patching-{direction}",
    )
