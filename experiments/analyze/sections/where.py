"""Where the effect is carried: patching by layer and token, by head, by MLP; the circuit."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from circuits.gates.select import LATEST
from circuits.types import PatchGrid
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Components, Grids, Selection
from experiments.study import WHERE as TITLE
from probes.causal.circuit import Trace
from probes.causal.tables import GridStats, grid_stats, stats_table
from viz.figures.grids import grid_figure
from viz.figures.heatmaps import selection_heatmap
from viz.figures.trace import trace_figure
from viz.page.drill import add_drill
from viz.page.page import Section, Table
from viz.page.sections import for_each
from viz.text import show_spaces

_TOP = 10
_AGAIN = "the command of this run with --resume measures them"
_NOTHING = "The trigger has no effect here, so there is nothing to locate."


def where(runs: Sequence[AnalysisRun]) -> Section:
    """Grids of every run, directions side by side."""
    made = for_each(TITLE, [(run.name, run) for run in runs], _one)
    return made if len(runs) == 1 else replace(made, lead=(_beside(runs),))


def _beside(runs: Sequence[AnalysisRun]) -> Table:
    """A row per run: where its gate is, and what moves the trigger."""
    header = (
        "run",
        "gate's site",
        "estimator",
        "trigger's token carries half before layer",
        "last token from layer on",
        "heads that move it",
        "heads for 80% of all heads' share",
    )
    return Table(header, [_figures(run) for run in runs], "where it is carried, run by run")


def _figures(run: AnalysisRun) -> tuple[str, ...]:
    selection, evidence = run.result.selection, run.result.evidence
    if selection is None:
        return (run.name, *["no effect"] * 6)
    chosen = selection.chosen.direction
    found = evidence.trace if evidence else None
    if found is None or found.leaves is None or found.arrives is None:
        return (run.name, str(chosen.site), chosen.estimator, *["not traced"] * 4)
    enough = f"{found.enough.size} of {found.tests}" if found.enough else "more than were tried"
    layers = (f"{e:.0f}" for e in (found.leaves, found.arrives))
    movers = ", ".join(head.name for head in found.movers[:5]) or "none"
    more = len(found.movers) - 5
    movers += f" and {more} more" if more > 0 else ""
    return (run.name, str(chosen.site), chosen.estimator, *layers, movers, enough)


def _one(run: AnalysisRun) -> Section:
    result = run.result
    if result.grids is None or result.selection is None:
        return Section(TITLE, _NOTHING)
    prompts = result.components.prompts if result.components else ()
    parts = [_heads(result.components), _mlps(result.components)]
    if result.evidence and result.evidence.trace and result.evidence.trace.leaves:
        parts.append(_circuit(result.evidence.trace))
    parts.append(_chosen(result.selection))
    prose = (
        "Each cell copies the residual stream at one layer and token from one run into the other. "
        "Denoising copies the triggered run into the run with a control word and asks how much of "
        "the behaviour appears; noising does the reverse. Both are exact forward passes, scored by "
        f"the {result.grids.denoising.metric}, as a share of the full effect. Hover gives the "
        "interval; a click, or the lists below a grid, shows a cell prompt by prompt."
    )
    return Section(
        TITLE, prose, _both(result.grids, prompts), data_name="patching", parts=tuple(parts)
    )


def _both(grids: Grids, prompts: Sequence[str]) -> tuple:
    found = (grids.denoising, grids.noising)
    return tuple(
        add_drill(grid_figure(grid), grid, prompts) for grid in found if _recoverable(grid)
    )


def _recoverable(grid: PatchGrid) -> bool:
    """Whether the effect is far enough from zero for shares of it to mean anything."""
    full = grid.full_effect
    spread = float(full.std()) / math.sqrt(len(full))
    return abs(float(full.mean())) > 3 * spread


def _heads(components: Components | None) -> Section:
    title = "Which heads"
    if components is None:
        return Section(title, f"This run has no grid of heads; {_AGAIN}.")
    prose = (
        "Every attention head's output (z) patched alone, at all tokens from the trigger on. The "
        f"table has the {_TOP} that denoising recovers most by; the others are below it."
    )
    stats = grid_stats(components.heads.denoising)
    figures = _both(components.heads, components.prompts)
    return Section(
        title, prose, figures, _ranked(components.heads.denoising, stats, "head"), data_name="heads"
    )


def _mlps(components: Components | None) -> Section:
    title = "Which MLPs"
    if components is None:
        return Section(title, f"This run has no grid of MLPs; {_AGAIN}.")
    prose = (
        "Every MLP's output patched alone at one token. Cells do not add up: what an MLP writes is "
        "passed on by the layers above it."
    )
    stats = grid_stats(components.mlps.denoising)
    figures = _both(components.mlps, components.prompts)
    return Section(
        title,
        prose,
        figures,
        _ranked(components.mlps.denoising, stats, "label"),
        data_name="mlps",
        folded=True,
    )


def _ranked(grid: PatchGrid, stats: GridStats, place: str) -> tuple[Table, Table]:
    """The cells of largest effect, and the others folded away."""
    table = stats_table(grid, stats).sort_values("mean", key=abs, ascending=False, kind="stable")
    rows = [
        (
            str(row["layer"]),
            show_spaces(str(row[place])),
            f"{row['mean']:.3g}",
            f"[{row['low']:.3g}, {row['high']:.3g}]",
            f"{row['q']:.2g}",
            f"{row['recovery']:.2f}",
            str(int(row["n"])),
        )
        for row in table.to_dict("records")
    ]
    what = "token" if place == "label" else place
    header = ("layer", what, "effect", "95% interval", "q", "recovery", "n")
    rest = f"The other {len(rows) - _TOP} cells"
    return (
        Table(header, rows[:_TOP], f"strongest cells, {grid.direction}"),
        Table(header, rows[_TOP:], folded=rest),
    )


def _circuit(found: Trace) -> Section:
    prose = (
        f"{found.sentence()} Measured on {found.n} validation pairs by exact patching; shares of "
        "the trigger's effect, with bootstrap intervals."
    )
    rows = [
        (
            head.name,
            "yes" if head.moves else "",
            f"{head.restored:.0%pn}",
            f"{head.removed:.0%pn}",
            f"{head.restored_q:.2g}",
        )
        for head in found.heads
    ]
    header = ("head", "moves the trigger", "restored alone", "lost alone", "q")
    table = Table(header, rows, folded=f"The strongest {len(rows)} heads in numbers")
    return Section("The circuit", prose, (trace_figure(found),), (table,), data_name="circuit")


def _chosen(selection: Selection) -> Section:
    chosen, candidates = selection.chosen, selection.candidates
    spans = sorted({c.direction.site.span for c in candidates})
    layers = 1 + max(c.direction.site.layer for c in candidates)
    best = torch.full((layers, len(spans)), float("nan"))
    for c in candidates:
        if c.direction.estimator == chosen.direction.estimator:
            best[c.direction.site.layer, spans.index(c.direction.site.span)] = c.necessity
    prose = (
        f"{len(candidates)} candidates (estimators × layers × tokens) were scored on validation "
        "pairs by necessity (projected out of triggered inputs, the share of the effect that goes "
        "away), sufficiency (added to inputs with a control word, the share that appears) and harm "
        "(KL in nats on inputs with a control word). The choice is the best of min(necessity, "
        f"sufficiency) − harm among the first {LATEST:.0%} of the layers: later, a direction "
        "may be no more than the behaviour's first token. All rows are in selection.parquet."
    )
    top = sorted(candidates, key=lambda c: -c.score)[:8]
    rows = [
        (
            str(c.direction.site),
            c.direction.estimator,
            f"{c.necessity:.2f}",
            f"{c.sufficiency:.2f}",
            f"{c.harm:.3f}",
            "chosen" if c is chosen else "",
        )
        for c in [chosen, *[t for t in top if t is not chosen]]
    ]
    site = chosen.direction.site
    return Section(
        "How the direction was chosen",
        prose,
        (selection_heatmap(best, spans, (site.layer, site.span)),),
        (Table(("site", "estimator", "necessity", "sufficiency", "harm", ""), rows),),
        data_name="selection",
        folded=True,
    )
