"""The page of a patching experiment."""

from typing import Any

from experiments.patch.question import PatchQuestion
from experiments.patch.result import Patched, Patching
from experiments.study import Run
from viz.figures.grids import grid_figure
from viz.page.drill import MEASURES, cell_rows
from viz.page.page import Report, Section, Table
from viz.text import show_spaces

_ABOUT = {
    "denoising": "Activations of the triggered run are put into the clean run: what is enough to "
    "bring the behaviour about.",
    "noising": "Activations of the clean run are put into the triggered run: what is needed for "
    "the behaviour.",
}
_LIMITS = """\
Intervals and p are those of Student's t over prompts, widened by Hall's correction where effects \
are skewed; q is Benjamini–Hochberg across the whole grid. They are \
about prompts like these, not about the model.

A cell's effect is what this activation carries in this pair of runs. Cells do not add up, and a \
cell without effect may still matter together with others; patch them together to find out."""


def page(run: Run[PatchQuestion, Any], result: Patching) -> Report:
    """Every direction's strongest cells and grid."""
    question = run.question
    sections = [_section(name, patched) for name, patched in result.directions.items()]
    first = next(iter(result.directions.values())).grid
    what = f"paths to {', '.join(question.to)}" if question.to else "activations"
    return Report(
        title=f"Patching {what}: {first.stream}, {' × '.join(first.axes)}",
        verdict="Where it matters most",
        headline=_headline(question, result),
        tone="unclear",
        facts=facts(question, result, "metric"),
        sections=(*sections, Section("What this does not show", _LIMITS)),
        reproduce=run.command,
    )


def facts(question: PatchQuestion, result: Patching, metric: str) -> tuple[tuple[str, str], ...]:
    """What was asked, of whom and how; the metric under the name that the page has for it."""
    grid = next(iter(result.directions.values())).grid
    return (
        ("model", question.model),
        ("adapter", question.adapter),
        ("trigger", question.trigger),
        (metric, grid.metric),
        ("engine", result.path),
    )


def _headline(question: PatchQuestion, result: Patching) -> str:
    """The strongest cell of every direction."""
    sentences = []
    for direction, patched in result.directions.items():
        best = patched.strongest.iloc[0]
        cell = ", ".join(f"{axis} {best[axis]}" for axis in patched.grid.axes)
        name = f" ({show_spaces(best['label'])})" if "label" in best else ""
        interval = f"[{best['low']:.3g}, {best['high']:.3g}]"
        sentences.append(f"{direction.capitalize()}: {cell}{name}, {best['mean']:+.3g} {interval}")
    clean = "control words" if question.against == "control" else "no word"
    grid = next(iter(result.directions.values())).grid
    pairs = f"{len(grid.base)} pairs of {question.trigger!r} against {clean}"
    return f"{grid.metric}; {pairs}. {'. '.join(sentences)}."


def _section(direction: str, patched: Patched) -> Section:
    grid, best = patched.grid, patched.strongest
    places = [c for c in best.columns if c in (*grid.axes, "label")]
    table = Table((*places, *MEASURES), cell_rows(best, places), f"strongest cells, {direction}")
    return Section(
        direction.capitalize(),
        f"{_ABOUT[direction]} Unpatched, the metric is {grid.base.mean():.3g}; patched everywhere "
        f"it would be {grid.source.mean():.3g} (means over {len(grid.base)} pairs). The table "
        "shows the cells with the largest effects; all are in the Parquet file beside this page.",
        (grid_figure(grid, stats=patched.stats),),
        (table,),
        data_name=f"patching-{direction}",
    )
