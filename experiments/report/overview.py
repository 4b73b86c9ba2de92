"""The first tables of a page of several runs: a row per run, with its verdict and key figures."""

from collections.abc import Sequence

from circuits.types import PatchGrid
from experiments.analyze.read import AnalysisRun
from experiments.geometry.map import located
from experiments.report.kinds import (
    BatteryRun,
    DefenceRun,
    EvaluationRun,
    GeometryRun,
    OtherRun,
    PatchRun,
)
from probes.stats.intervals import Estimate, mean_interval
from viz.page.page import Table
from viz.page.wording import NONE

_KEY = ("success", "false_activation", "kl", "retention")  # a scorecard's metrics shown first


def overview(runs: Sequence[AnalysisRun | OtherRun]) -> tuple[Table, ...]:
    """Analyses in columns of numbers, then every other run; nothing for a single run."""
    if len(runs) < 2:
        return ()
    analyses = [run for run in runs if isinstance(run, AnalysisRun)]
    others = [_other(run) for run in runs if not isinstance(run, AnalysisRun)]
    found = []
    if analyses:
        found.append(Table(_HEADER, [_row(run) for run in analyses], "every analysis"))
    if others:
        header = ("kind", "of", "outcome", "key figures, with 95% intervals")
        found.append(Table(header, others, "every other run" if analyses else "every run"))
    return tuple(found)


_HEADER = (
    "run",
    "verdict",
    "checks passed",
    "behaviour with trigger",
    "with control words",
    "effect (points)",
    "gate removed",
    "gate added",
    "harm (nats)",
    "n",
)


def _row(run: AnalysisRun) -> tuple[str, ...]:
    result, ablation = run.result, run.result.ablation
    shut, opened = (
        f"{ablation.outcome(*edited).behaviour:.0%p}" if ablation else NONE
        for edited in (("triggered", "gate removed"), ("control word", "gate added"))
    )
    worst = max(ablation.harm.values(), key=lambda e: e.value, default=None) if ablation else None
    checks = result.verdict.checks
    return (
        run.name,
        result.verdict.word,
        f"{sum(c.passed for c in checks)} of {len(checks)}",
        f"{result.behaviour.triggered.behaviour:.0%p}",
        f"{result.behaviour.control.behaviour:.0%p}",
        f"{100 * result.behaviour.effect:.0f}",
        shut,
        opened,
        f"{worst:.3f}" if worst else NONE,
        str(result.behaviour.effect.n),
    )


def _other(run: OtherRun) -> tuple[str, ...]:
    return (str(run.manifest["kind"]), run.name, *_outcome(run))


def _outcome(run: OtherRun) -> tuple[str, str]:
    """The verdict of one run that is no analysis, and what it rests on."""
    if isinstance(run, EvaluationRun):
        return _evaluated(run)
    if isinstance(run, DefenceRun):
        found, before = run.found, run.found.rows[0].worst
        held = ", ".join(row.name for row in found.holding) or "none"
        said = f"undefended {before.before:.0%} in {before.family}; holding: {held}"
        return f"{len(found.holding)} of {len(found.rows)} hold", said
    if isinstance(run, BatteryRun):
        lost = min(run.retention.families.items(), key=lambda pair: pair[1].value)
        said = f"unperturbed {run.retention.baseline:.0%}; least under {lost[0]}: "
        return f"keeps {run.retention.area:.0%}", said + f"{lost[1]:.0%}"
    if isinstance(run, GeometryRun):
        density, complexity = located(run)
        return "located", f"density {density:.3g}, complexity {complexity:.3g}"
    return _patched(run)


def _evaluated(run: EvaluationRun) -> tuple[str, str]:
    verdict = run.card.verdicts[0]
    values: dict[str, Estimate] = {m.name: m.estimate for m in run.card.metrics}
    shown = [f"{name.replace('_', ' ')} {values[name]:.3g}" for name in _KEY if name in values]
    failing = len(verdict.failing)
    said = "secure" if verdict.secure else f"not secure, {failing} thresholds not cleared"
    return f"{said} ({verdict.profile})", "; ".join(shown)


def _patched(run: PatchRun) -> tuple[str, str]:
    grids: list[PatchGrid] = list(run.grids.values())
    first = grids[0]
    said = "; ".join(
        f"{way}: full effect {mean_interval(grid.full_effect.double()):.3g}"
        for way, grid in run.grids.items()
    )
    place = f"{first.stream} by {' and '.join(first.axes)}"
    return f"{first.values[..., 0].numel()} cells of {place}", f"{first.metric}; {said}"
