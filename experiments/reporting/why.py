"""Verdict and why: what was asked, the checks that decide, and several runs side by side."""

from collections.abc import Sequence

from experiments.reporting.analysed import AnalysisRun
from experiments.reporting.words import number, points, share
from probes.intervals import Estimate
from viz.estimates import ForestFrame, ForestRow, forest, told
from viz.report import Section, Table
from viz.text import escaped
from viz.theme import COLOURWAY

TITLE = "Verdict and why"


def why(runs: Sequence[AnalysisRun]) -> Section:
    """One run's checks; of several a column each, and their effects on a shared axis."""
    if len(runs) == 1:
        return Section(
            TITLE, f"{_asked(runs[0])}\n\n{_RULE}", tables=(_checks(runs[0]),), data_name="verdict"
        )
    return Section(
        TITLE,
        f"{_RULE} Runs stand side by side; what each was asked is in the last section.",
        (_effects(runs),),
        (_beside(runs),),
        data_name="verdict",
        parts=tuple(Section(run.name, _asked(run), tables=(_checks(run),)) for run in runs),
    )


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
    found = {"trigger's effect on the rate": result.behaviour.effect}
    if result.ablation:
        found["fall with the gate removed"] = result.ablation.removed
    if result.evidence:
        gate = result.evidence.nulls[0]
        found["first token's fall, gate removed"] = gate.gate_removed
        found["first token's rise, gate added"] = gate.gate_added
    return found


def _effects(runs: Sequence[AnalysisRun]):
    rows = []
    for name in dict.fromkeys(n for run in runs for n in _measures(run)):
        for i, run in enumerate(runs):
            e = _measures(run).get(name)
            if e is not None:
                hover = f"<b>{escaped(run.name)}</b><br>{escaped(name)}<br>{told(e)}"
                shade = COLOURWAY[i % len(COLOURWAY)]
                first = i == 0 and bool(rows)
                rows.append(ForestRow(f"{run.name}: {name}", e, hover, shade, apart=first))
    frame = ForestFrame(
        "Effects of trigger and gate, run by run", "95% intervals", "points", 0.0, scale=100
    )
    return forest(rows, frame)


def _beside(runs: Sequence[AnalysisRun]) -> Table:
    """The verdict table: a row per question, a column per run."""
    columns = [_column(run) for run in runs]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return Table(("", *(run.name for run in runs)), rows, "verdicts side by side")


def _column(run: AnalysisRun) -> dict[str, str]:
    result, none = run.result, "not measured"
    chosen = result.selection.chosen.direction if result.selection else None
    shut = result.ablation.outcome("triggered", "gate removed") if result.ablation else None
    opened = result.ablation.outcome("control word", "gate added") if result.ablation else None
    nulls = result.evidence.nulls if result.evidence else ()
    harm = result.ablation.harm.values() if result.ablation else ()
    best = [abs(v) for null in nulls for v in null.removed]
    failed = [check.name for check in result.verdict.checks if not check.passed]
    return {
        "verdict": result.verdict.word,
        "checks failed": ", ".join(failed) or "none",
        "trigger": run.question.trigger,
        "behaviour with the trigger": share(result.behaviour.triggered.behaviour),
        "with control words": share(result.behaviour.control.behaviour),
        "effect (points)": points(result.behaviour.effect),
        "gate's site": str(chosen.site) if chosen else "none",
        "with the gate removed": share(shut.behaviour) if shut else none,
        "with the gate added": share(opened.behaviour) if opened else none,
        "harm (nats per token)": " / ".join(number(e) for e in harm) or none,
        "best random direction (points)": f"{100 * max(best):.1f} of {len(best)}" if best else none,
    }
