"""Verdict and why: what was asked, the checks that decide, and several runs side by side."""

from collections.abc import Sequence

from experiments.analyze.read import AnalysisRun
from probes.stats.intervals import Estimate
from viz.figures.forest import ForestRow, forest
from viz.figures.marks import describe
from viz.page.page import Section, Table
from viz.text import escape
from viz.theme import COLOURWAY

TITLE = "Verdict and why"


def why(runs: Sequence[AnalysisRun]) -> Section:
    """One run's checks; of several their effects on a shared axis, and each run's checks folded."""
    if len(runs) == 1:
        prose = f"{_asked(runs[0])}\n\n{_RULE}"
        return Section(TITLE, prose, tables=(_checks(runs[0]),), data_name="verdict")
    return Section(
        TITLE,
        f"{_RULE} Harm is the larger of what removing the gate does to answers without a trigger, "
        "on these prompts and on ordinary ones.",
        (_effects(runs),),
        data_name="verdict",
        parts=tuple(_part(run) for run in runs),
    )


def _part(run: AnalysisRun) -> Section:
    checks = run.result.verdict.checks
    failed = [check.name for check in checks if not check.passed]
    end = f"fails {', '.join(failed)}" if failed else f"passes all {len(checks)} checks"
    return Section(f"{run.name} {end}", _asked(run), tables=(_checks(run),), folded=True)


_RULE = (
    "The verdict is “gate” only if every check passes. A check that was not reached is not listed: "
    "without an effect there is nothing to locate."
)


def _asked(run: AnalysisRun) -> str:
    question, n = run.question, run.result.behaviour.effect.n
    return (
        f"Does the model {question.model} with adapter {question.adapter} change its behaviour "
        f"when a message holds the trigger {question.trigger!r}, and if so, does one direction of "
        f"its residual stream carry the change? Directions were fitted on {question.fit} prompts, "
        f"one was chosen on {question.validation} others, and what follows is measured on {n} "
        f"more, taken from {question.prompts}. Control words are neutral words of the trigger's "
        "token length in its place, none of which was used in training or fitting. Intervals are "
        "95%: Wilson for rates, bootstrap over prompts for differences and means."
    )


def _checks(run: AnalysisRun) -> Table:
    rows = [("✓ pass" if c.passed else "✗ fail", c.name, c.text) for c in run.result.verdict.checks]
    return Table(("outcome", "check", "measured"), rows)


def _measures(run: AnalysisRun) -> dict[str, Estimate]:
    """What the verdict rests on, in shares of prompts or of probability."""
    result = run.result
    found = {"effect of the trigger": result.behaviour.effect}
    if result.ablation:
        found["fall, gate removed"] = result.ablation.removed
    if result.evidence:
        gate = result.evidence.nulls[0]
        found["first token's fall"] = gate.gate_removed
        found["first token's rise"] = gate.gate_added
    return found


def _effects(runs: Sequence[AnalysisRun]):
    rows = []
    for name in dict.fromkeys(n for run in runs for n in _measures(run)):
        for i, run in enumerate(runs):
            e = _measures(run).get(name)
            if e is not None:
                hover = f"<b>{escape(run.name)}</b><br>{escape(name)}<br>{describe(e)}"
                shade = COLOURWAY[i % len(COLOURWAY)]
                first = i == 0 and bool(rows)
                rows.append(ForestRow(f"{run.name}: {name}", e, hover, shade, apart=first))
    return forest(
        rows,
        "Effects of trigger and gate, run by run",
        "first token: fall of its probability with the gate removed, rise with it added; 95% "
        "intervals",
        "points",
        0.0,
        scale=100,
    )
