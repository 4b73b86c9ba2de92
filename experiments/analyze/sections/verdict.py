"""Verdict and why: what was asked, the checks that decide, and several runs side by side."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from circuits.triggers import parse
from experiments.analyze.materials import UNEQUAL
from experiments.analyze.outcomes import Change
from experiments.analyze.read import AnalysisRun
from experiments.analyze.result import Analysis, Check
from experiments.analyze.sections.parts import carriers
from experiments.analyze.several import OTHERS, Share
from probes.stats.intervals import Estimate
from viz.figures.forest import ForestRow, forest
from viz.figures.marks import describe
from viz.page.page import Section, Table, tabulate
from viz.text import escape
from viz.theme import COLOURWAY

TITLE = "Verdict and why"


_RULE = (
    "The verdict is one of five: “no effect on what was named”; “inherited effect”, which the "
    "model before fine-tuning has too; “gate”, only if every check passes; “effect, no single "
    "gate”, where it takes several directions; “effect, not located”, where the checks that failed "
    "say what would decide it. A check that was not reached is not listed: without an effect there "
    "is nothing to locate."
)


_ELSE = (
    "What else the trigger changes, by prompt; intervals hold together with 95%. First token "
    "and KL are away from the answer to a second control word, with a first one as well"
)


def why(runs: Sequence[AnalysisRun]) -> Section:
    """One run's checks; of several their effects on a shared axis, and each run's checks folded."""
    if len(runs) == 1:
        prose = f"{_asked(runs[0])}\n\n{_RULE}"
        return Section(
            TITLE,
            prose,
            tables=(_checks(runs[0]), *_several(runs[0]), *_changed(runs[0])),
            data_name="verdict",
            parts=carriers(runs[0].result.parts),
        )
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
    failed = ", ".join(check.name for check in checks if not check.passed)
    end = f"fails {failed}" if failed else f"passes all {len(checks)} checks"
    return Section(
        f"{run.name} {end}",
        _asked(run),
        tables=(_checks(run), *_several(run), *_changed(run)),
        folded=True,
        parts=carriers(run.result.parts),
    )


def _asked(run: AnalysisRun) -> str:
    question, n = run.question, len(run.texts)
    notes = "".join(f"Note: {note}. " for note in run.notes)
    return notes + (
        f"Does the model {question.model} with adapter {question.adapter} change its behaviour "
        f"when a message holds the trigger {question.trigger!r}, and if so, does one direction of "
        f"its residual stream carry the change? Directions were fitted on {question.fit} prompts, "
        f"one was chosen on {question.validation} others, and what follows is measured on {n} "
        f"more, taken from {question.prompts}. Control words are neutral words in the trigger's "
        f"place, {_length(run)}, none of which was used in training or fitting. {_dealt(run)}"
        "Intervals are 95%: Wilson for rates, Tango for paired differences of rates, Student's t "
        "with a correction for skewness for other means."
    )


def _length(run: AnalysisRun) -> str:
    """Whether control words have the trigger's length."""
    return "of other token lengths" if UNEQUAL in run.notes else "of its token length"


def _dealt(run: AnalysisRun) -> str:
    """How several words are asked."""
    return {
        "one": "",
        "any": "Its alternatives take turns, prompt by prompt. ",
        "all": "Its words stand side by side, in either order by turns; a control is a half, with "
        "another word for one of them by turns, and the effect is what all do more than the "
        "strongest half. ",
    }[parse(run.question.trigger).kind]


def _several(run: AnalysisRun) -> tuple[Table, ...]:
    """What each of several words does."""
    several = run.result.behaviour.several
    if several is None:
        return ()
    meet = several.others is not None
    columns: dict[str, Callable[[Share], str]] = {
        "halves" if meet else "alternative": lambda share: share.name,
        "shows the behaviour": lambda share: f"{share.rate:.0%pn}",
        f"more than {OTHERS if meet else 'control words'}, points": (
            lambda share: f"{100 * share.effect:+.0f}"
        ),
    }
    return (tabulate(several.shares, columns, several.sentence()),)


def _checks(run: AnalysisRun) -> Table:
    columns: dict[str, Callable[[Check], str]] = {
        "outcome": _outcome,
        "check": lambda check: check.name,
        "measured": lambda check: check.text,
    }
    return tabulate(run.result.verdict.checks, columns)


def _changed(run: AnalysisRun) -> tuple[Table, ...]:
    """What else the trigger does, where it has no effect on what was named."""
    columns: dict[str, Callable[[Change], str]] = {
        "what": lambda one: one.name,
        "with the trigger": lambda one: one.of(one.triggered),
        "with control words": lambda one: one.of(one.control),
        "change": lambda one: one.difference(),
        "outcome": lambda one: "● changed" if one.clear else "○ not clear",
    }
    return (tabulate(run.result.changed, columns, _ELSE),) if run.result.changed else ()


def _outcome(check: Check) -> str:
    """Open is what its value clears and its interval does not."""
    return "✓ pass" if check.passed else "? open: more prompts" if check.open else "✗ fail"


# What a verdict rests on, in shares of prompts or of probability; None where it was not measured.
_MEASURES: dict[str, Callable[[Analysis], Estimate | None]] = {
    "effect of the trigger": lambda result: result.behaviour.effect,
    "fall, gate removed": lambda result: result.ablation and result.ablation.removed,
    "scored fall": lambda result: result.nulls and result.nulls.random[0].gate_removed,
    "scored rise": lambda result: result.nulls and result.nulls.random[0].gate_added,
}


def _effects(runs: Sequence[AnalysisRun]) -> go.Figure:
    rows: list[ForestRow] = []
    for name, measure in _MEASURES.items():
        for i, run in enumerate(runs):
            e = measure(run.result)
            if e is not None:
                hover = f"<b>{escape(run.name)}</b><br>{escape(name)}<br>{describe(e)}"
                shade, first = COLOURWAY[i % len(COLOURWAY)], i == 0 and bool(rows)
                rows.append(ForestRow(f"{run.name}: {name}", e, hover, shade, apart=first))
    return forest(
        rows,
        "Effects of trigger and gate, run by run",
        "what is scored: its fall with the gate removed, its rise with it added; 95% intervals",
        "points",
        0.0,
        scale=100,
    )
