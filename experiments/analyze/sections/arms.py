"""The arms: the same question put to models that should have no gate, and what probes read."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.analyze.read import AnalysisRun
from probes.stats.intervals import Estimate
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
        return replace(_one(runs[0]), title=TITLE)
    made = for_each(TITLE, [(run.name, run) for run in runs], _among)
    rows = [
        BehaviourRow(o.condition, run.name, o.behaviour)
        for run in runs
        for o in run.result.behaviour.outcomes
    ]
    return replace(
        made, figures=(behaviour_bars(rows, {}, "run"),), lead=(_arms(runs),), data_name="arms"
    )


def _one(run: AnalysisRun) -> Section:
    rows = [
        BehaviourRow(condition, arm, rate)
        for arm, rates in run.rates.items()
        for condition, rate in rates.items()
    ]
    effect = run.result.behaviour.effect
    said = (
        f"Paired over prompts, the trigger changes this model's rate by {100 * effect:.0f} points "
        f"against a control word (n={effect.n})."
    )
    return Section(
        TITLE,
        f"{_PROSE if run.result.arms else _ALONE}\n\n{said}",
        (behaviour_bars(rows, ARM_COLOURS, "arm"),),
        (_arms([run]), _answers(run)),
        data_name="arms",
        parts=(_probes(run),),
    )


def _among(run: AnalysisRun) -> Section:
    """A run among several, whose own rates and arms stand in what is shown of all together."""
    made = _one(run)
    return replace(made, figures=made.figures if run.result.arms else (), tables=made.tables[1:])


def _arms(runs: Sequence[AnalysisRun]) -> Table:
    """Every arm; of several runs with the run that it belongs to."""
    header = ("arm", "effect of the trigger (points)", "n", "best probe AUROC", "verdict")
    found = [(run.name, *row) for run in runs for row in _arms_of(run)]
    if len(runs) == 1:
        return Table(header, [row[1:] for row in found])
    return Table(("run", *header), found, "every arm of every run")


def _arms_of(run: AnalysisRun) -> list[tuple[str, ...]]:
    result = run.result
    best = max(float(r.auroc.max()) for span, r in result.probes.items() if span != "last_user")
    rows: list[tuple[str, Estimate, float, str]] = [
        ("this model", result.behaviour.effect, best, result.verdict.word)
    ]
    rows += [(arm.name, arm.effect, arm.auroc, arm.verdict) for arm in result.arms]
    return [
        (name, f"{100 * e:.0f}", str(e.n), f"{auroc:.3f}", word) for name, e, auroc, word in rows
    ]


def _answers(run: AnalysisRun) -> Table:
    outcomes = [*run.result.behaviour.outcomes]
    if run.result.ablation:
        outcomes += [o for o in run.result.ablation.outcomes if o.condition != "no trigger"]
    rows = [(o.condition, o.edit, answer) for o in outcomes for answer in o.answers[:3]]
    folded = "Some answers: the first three of each condition"
    return Table(("words", "edit", "answer"), rows, folded=folded)


def _probes(run: AnalysisRun) -> Section:
    probes = run.result.probes
    layers = range(len(next(iter(probes.values())).accuracy))
    best = {span: float(report.auroc.max()) for span, report in probes.items()}
    listed = ", ".join(f"{span} {value:.2f}" for span, value in best.items())
    prose = (
        "Mean-difference probes for trigger against control word, fitted and tested on different "
        f"prompts and different control words. Best AUROC by token: {listed}. A probe reads the "
        "trigger's string in any model, so this is not evidence for a gate."
    )
    figure = probe_curves(probes, list(layers))
    return Section("Where the trigger can be read", prose, (figure,), data_name="probes")
