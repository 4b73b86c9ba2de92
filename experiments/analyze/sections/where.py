"""Where the effect is carried: patching by layer and token, by head, by MLP; the circuit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from circuits.gates.select import LATEST, Candidate
from circuits.types import PatchGrid
from experiments.analyze.question import NOT_ASKED
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Analysis, Components, Grids, Selection
from experiments.study import WHERE as TITLE
from probes.causal.circuit import Mover, Trace
from probes.causal.tables import grid_stats, stats_table, strongest
from viz.figures.grids import grid_figure
from viz.figures.heatmaps import selection_heatmap
from viz.figures.trace import trace_figure
from viz.page.drill import MEASURES, add_drill, cell_rows
from viz.page.page import Section, Table, tabulate
from viz.page.sections import for_each

_TOP = 10
_HEADER = (
    "run",
    "gate's site",
    "estimator",
    "trigger's token carries half before layer",
    "last token from layer on",
    "heads that move it",
    "heads for 80% of all heads' share",
)


def where(runs: Sequence[AnalysisRun]) -> Section:
    """Grids of every run, directions side by side."""
    rows = [(run.name, *_brief(run.result)) for run in runs]
    beside = Table(_HEADER, rows, "where it is carried, run by run")
    return for_each(TITLE, [(run.name, run.result) for run in runs], _one, (beside,))


def _brief(result: Analysis) -> tuple[str, ...]:
    """One of several runs in a row: where its gate is, and what moves the trigger."""
    if result.selection is None:
        return ("no effect",) * 6
    chosen = result.selection.chosen.direction
    trace = result.evidence.trace if result.evidence else None
    if trace is None or trace.leaves is None or trace.arrives is None:
        return (str(chosen.site), chosen.estimator, *["not traced"] * 4)
    enough = f"{trace.enough.size} of {trace.tests}" if trace.enough else "more than were tried"
    more = len(trace.movers) - 5
    movers = ", ".join(head.name for head in trace.movers[:5]) or "none"
    movers += f" and {more} more" if more > 0 else ""
    layers = (f"{trace.leaves:.0f}", f"{trace.arrives:.0f}")
    return (str(chosen.site), chosen.estimator, *layers, movers, enough)


def _one(result: Analysis) -> Section:
    if result.grids is None or result.selection is None:
        return Section(TITLE, "The trigger has no effect here, so there is nothing to locate.")
    components, trace = result.components, result.evidence and result.evidence.trace
    parts = [
        _components("heads", components),
        replace(_components("MLPs", components), folded=components is not None),
    ]
    if result.quick:
        parts = [Section("Which heads and MLPs", NOT_ASKED)]
    if trace and trace.leaves:
        parts.append(_circuit(trace))
    parts.append(_chosen(result.selection))
    return Section(
        TITLE,
        "Each cell copies the residual stream at one layer and token from one run into the other. "
        "Denoising copies the triggered run into the run with a control word and asks how much of "
        "the behaviour appears; noising does the reverse. Both are exact forward passes, scored by "
        f"the {result.grids.denoising.metric}, as a share of the full effect. Hover gives the "
        "interval; a click, or the lists below a grid, shows a cell prompt by prompt.",
        _both(result.grids, components.prompts if components else ()),
        data_name="patching",
        parts=tuple(parts),
    )


def _both(grids: Grids, prompts: Sequence[str]) -> tuple:
    return tuple(
        add_drill(grid_figure(grid), grid, prompts)
        for grid in (grids.denoising, grids.noising)
        if _recoverable(grid)
    )


def _recoverable(grid: PatchGrid) -> bool:
    """Whether the effect is far enough from zero for shares of it to mean anything."""
    full = grid.full_effect
    spread = float(full.std()) / math.sqrt(len(full))
    return abs(float(full.mean())) > 3 * spread


_COMPONENTS = {
    "heads": "Every attention head's output (z) patched alone, at all tokens from the trigger on. "
    f"The table has the {_TOP} that denoising recovers most by; the others are below it.",
    "MLPs": "Every MLP's output patched alone at one token. Cells do not add up: what an MLP "
    "writes is passed on by the layers above it.",
}


def _components(what: str, components: Components | None) -> Section:
    """Both grids of heads or MLPs, the strongest cells, and the others folded away."""
    title, name = f"Which {what}", what.lower()
    if components is None:
        again = "the command of this run with --resume measures them"
        return Section(title, f"This run has no grid of {what}; {again}.")
    grids: Grids = getattr(components, name)
    cells = strongest(stats_table(grids.denoising, grid_stats(grids.denoising)))
    place, label = ("head", "head") if what == "heads" else ("label", "token")
    rows, header = cell_rows(cells, ("layer", place)), ("layer", label, *MEASURES)
    tables = (
        Table(header, rows[:_TOP], f"strongest cells, {grids.denoising.direction}"),
        Table(header, rows[_TOP:], folded=f"The other {len(rows) - _TOP} cells"),
    )
    figures = _both(grids, components.prompts)
    return Section(title, _COMPONENTS[what], figures, tables, data_name=name)


def _circuit(trace: Trace) -> Section:
    columns: dict[str, Callable[[Mover], str]] = {
        "head": lambda head: head.name,
        "moves the trigger": lambda head: "yes" if head.moves else "",
        "restored alone": lambda head: f"{head.restored:.0%pn}",
        "lost alone": lambda head: f"{head.removed:.0%pn}",
        "q": lambda head: f"{head.restored_q:.2g}",
    }
    folded = f"The strongest {len(trace.heads)} heads in numbers"
    return Section(
        "The circuit",
        f"{trace.sentence()} Measured on {trace.n} validation pairs by exact patching; shares of "
        "the trigger's effect, with bootstrap intervals.",
        (trace_figure(trace),),
        (tabulate(trace.heads, columns, folded=folded),),
        data_name="circuit",
    )


def _chosen(selection: Selection) -> Section:
    chosen, candidates = selection.chosen, selection.candidates
    site, estimator = chosen.direction.site, chosen.direction.estimator
    spans = sorted({c.direction.site.span for c in candidates})
    layers = 1 + max(c.direction.site.layer for c in candidates)
    best = torch.full((layers, len(spans)), float("nan"))
    for c in candidates:
        if c.direction.estimator == estimator and (c.n or not chosen.n):
            best[c.direction.site.layer, spans.index(c.direction.site.span)] = c.necessity
    top = sorted(candidates, key=lambda c: (-c.n, -c.score))[:8]
    ranked = sum(c.n == 0 for c in candidates)
    counts = ", ".join(str(n) for n in sorted({c.n for c in candidates} - {0}))
    columns: dict[str, Callable[[Candidate], str]] = {
        "site": lambda c: str(c.direction.site),
        "estimator": lambda c: c.direction.estimator,
        "necessity": lambda c: f"{c.necessity:.2f}",
        "sufficiency": lambda c: f"{c.sufficiency:.2f}",
        "harm": lambda c: f"{c.harm:.3f}",
        "pairs": lambda c: str(c.n),
        "": lambda c: "chosen" if c is chosen else "",
    }
    screened = (
        f"{ranked} of them were only ranked, by one gradient of each side; the best were scored "
        f"exactly on {counts} pairs, fewer of them each time; where none was, the map is blank. "
    )
    return Section(
        "How the direction was chosen",
        f"{len(candidates)} candidates (estimators × layers × tokens) were scored on validation "
        f"pairs. {screened if ranked else ''}"
        "They are scored by necessity (projected out of triggered inputs, the share of the effect "
        "that goes away), sufficiency (added to inputs with a control word, the share that "
        "appears) and harm (KL in nats on inputs with a control word). The score is min(necessity, "
        "sufficiency) − harm, in shares of the effect in log-odds; chosen is who is furthest ahead "
        "of what any model has at the same site: the base model's own direction, where a base is "
        f"known, and from {LATEST:.0%} of the depth on at the last token the behaviour's "
        "unembedding; later layers at which neither was scored are not open to choice, and without "
        "a base directions behind the trigger come before those at it. All rows are in "
        "selection.parquet.",
        (selection_heatmap(best, spans, (site.layer, site.span)),),
        (tabulate([chosen, *(c for c in top if c is not chosen)], columns),),
        data_name="selection",
        folded=True,
    )
