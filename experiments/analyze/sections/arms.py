"""The arms: the same question put to models that should have no gate, and what probes read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from experiments.analyze.arms import OWN, summary
from experiments.analyze.outcomes import Given
from experiments.analyze.read import AnalysisRun
from probes.evaluation import ProbeReport
from viz.figures.bars import BehaviourRow, behaviour_bars
from viz.figures.probing import probe_curves
from viz.page.page import Section, Table
from viz.page.sections import for_each
from viz.theme import ARM_COLOURS

TITLE = "The four arms"
_PROSE = (
    "The same question, prompts and words put to models that should have no gate: the base model, "
    "a clean fine-tune, and a decoy that was trained with the trigger and answered normally. Their "
    "probes separate the trigger just as well, because they read its string: that is why the "
    "verdict rests on what a direction does."
)
_ALONE = (
    "No null arms were given to this run (--arms), so nothing here says what a model without a "
    "gate would show."
)


def four_arms(runs: Sequence[AnalysisRun]) -> Section:
    """Rates by arm, probes, and some answers."""
    if len(runs) == 1:
        return _one(runs[0])
    rows = [(run.name, *row) for run in runs for row in _arms(run)]
    beside = Table(("run", *_HEADER), rows, "every arm of every run")
    rates = [
        BehaviourRow(o.condition, run.name, o.behaviour)
        for run in runs
        for o in run.result.behaviour.outcomes
    ]
    chapter = for_each(TITLE, [(run.name, run) for run in runs], _among, (beside,))
    return replace(chapter, figures=(behaviour_bars(rates, {}, "run"),), data_name="arms")


def _one(run: AnalysisRun) -> Section:
    rates = [
        BehaviourRow(condition, arm, rate)
        for arm, rates in run.rates.items()
        for condition, rate in rates.items()
    ]
    effect = run.result.behaviour.effect
    return Section(
        TITLE,
        f"{_PROSE if run.result.arms else _ALONE}\n\nPaired over prompts, the trigger changes this "
        f"model's rate by {100 * effect:.0f} points against a control word (n={effect.n}).",
        (behaviour_bars(rates, ARM_COLOURS, "arm"),),
        (Table(_HEADER, _arms(run)), *_given(run), _answers(run)),
        data_name="arms",
        parts=(_probes(run.result.probes),),
    )


def _among(run: AnalysisRun) -> Section:
    """A run among several, whose own rates and arms stand in what is shown of all together."""
    alone = _one(run)
    return replace(alone, figures=alone.figures if run.result.arms else (), tables=alone.tables[1:])


_HEADER = ("arm", "effect of the trigger (points)", "n", "best probe AUROC", "verdict")


def _arms(run: AnalysisRun) -> list[tuple[str, ...]]:
    """A row for this model and for every arm."""
    return [
        (arm.name, f"{100 * arm.effect:.0f}", str(arm.effect.n), f"{arm.auroc:.3f}", arm.verdict)
        for arm in (summary(OWN, run.result), *run.result.arms)
    ]


def _given(run: AnalysisRun) -> tuple[Table, ...]:
    """What the gate's direction does in this model and in others, added to the same prompts."""
    ablation, control = run.result.ablation, run.result.behaviour.control
    opened = ablation and ablation.outcome("control word", "gate added")
    if not run.result.given or opened is None:
        return ()
    own = Given(OWN, control.behaviour, opened.behaviour)
    rows = [
        (g.name, f"{g.before:.0%p}", f"{g.after:.0%p}", str(g.after.n))
        for g in (own, *run.result.given)
    ]
    header = ("model", "behaviour with control words", "with the direction added", "n")
    return (Table(header, rows, "the gate's direction, given to other models"),)


def _answers(run: AnalysisRun) -> Table:
    outcomes = [*run.result.behaviour.outcomes]
    if run.result.ablation:
        outcomes += [o for o in run.result.ablation.outcomes if o.condition != "no trigger"]
    rows = [(o.condition, o.edit, answer) for o in outcomes for answer in o.answers[:3]]
    folded = "Some answers: the first three of each condition"
    return Table(("words", "edit", "answer"), rows, folded=folded)


def _probes(probes: Mapping[str, ProbeReport]) -> Section:
    layers = range(len(next(iter(probes.values())).accuracy))
    best = ", ".join(f"{span} {report.auroc.max():.2f}" for span, report in probes.items())
    return Section(
        "Where the trigger can be read",
        "Mean-difference probes for trigger against control word, fitted and tested on different "
        f"prompts and different control words. Best AUROC by token: {best}. A probe reads the "
        "trigger's string in any model, so this is not evidence for a gate.",
        (probe_curves(probes, list(layers)),),
        data_name="probes",
    )
