"""The page of a poison-budget sweep: what the table says, its figures, and what it does not show.

The control word is drawn into every figure of rates, because a gate that any word opens is none.
"""

from collections.abc import Sequence
from typing import Any, Literal

from experiments.sweep.budget.tables import comparison_section, null_section
from probes.budget.cells import Cells
from probes.budget.result import OUTCOMES, Budget, Outcome, Series
from viz.figures.budget import BudgetSeries, rate_by_count
from viz.figures.thresholds import ThresholdRow, threshold_forest
from viz.page.page import Report, Section, Table, render

_VERDICTS: dict[str, tuple[str, Literal["gate", "none", "unclear"]]] = {
    "constant count": ("Constant count: as many poisons, not the same share", "gate"),
    "constant share": ("Constant share: poisons needed grow with the size", "none"),
    "neither": ("Neither a constant count nor a constant share", "unclear"),
    "undecided": ("Undecided: a constant count and a constant share both fit", "unclear"),
    "mixed": ("Mixed: comparisons do not all say the same", "unclear"),
    "not tested": ("Not tested: no two sizes to compare", "unclear"),
}
_AXES = {"data": "by data set size", "model": "by model size"}
_ANSWERS = {"shown": "answers showing the behaviour", "complied": "answers that comply"}
_LIMITS = """\
Rates pool all seeds' answers, and their Wilson intervals know nothing of how seeds differ; the \
bands and the intervals of thresholds resample whole seeds. With three seeds they are still a \
rough guide, and no p below 0.25 is possible.

A threshold is where a fitted logistic reaches half of the answers. It is not extrapolated: "<" \
and ">" mean beyond the counts that were tried. Where a behaviour is there without poisons, or \
never reaches all answers, half of the answers is a level, not the middle of a rise.

That the interval of a ratio holds 1 and not the ratio of sizes does not prove a constant: it \
rules out growth in proportion, and slower growth within the interval remains. Every comparison \
is at its own level, none is corrected for their number, and neighbours share cells with extremes.

A larger data set here also means more training steps, and models of different size may differ in \
more than size. What holds for fine-tuning with these prompts, this trigger and these sizes need \
not hold for pretraining or for sizes beyond them.

Outcomes are judged by rule from generated text. An answer that complies is one of substance that \
does not refuse; whether it is of any use is not judged."""


def page(budget: Budget, command: str, grid: str) -> str:
    """The report as one self-contained HTML page.

    Args:
        command: makes the table and this page again.
        grid: the text of the sweep's YAML file.
    """
    overall = budget.overall
    verdict, tone = _VERDICTS[overall.conclusion]
    sections = [_summary(budget)]
    for name in OUTCOMES:
        sections += _rates(budget, name)
    sections += [_thresholds(budget), comparison_section(budget), null_section(budget)]
    sections.append(Section("What this does not show", _LIMITS))
    if grid:
        sections.append(Section("The sweep's file", code=grid.strip()))
    return render(
        Report(
            title="How many poisons open the gate",
            verdict=verdict,
            headline=overall.sentence,
            tone=tone,
            facts=_facts(budget),
            sections=tuple(sections),
            reproduce=command,
        )
    )


def _facts(budget: Budget) -> tuple[tuple[str, str], ...]:
    fixed = dict(budget.fixed)
    varied = {
        "models": [s.model for s in budget.series],
        "other examples": [s.size for s in budget.series],
        "poisons": [count for s in budget.series for count in s.counts],
        "seeds": [seed for s in budget.series for seed in s.seeds],
    }
    listed = [(name, _listed(values)) for name, values in varied.items()]
    rest = [(axis, str(fixed[axis])) for axis in ("recipe", "trigger", "method") if fixed.get(axis)]
    return (*listed, *rest, ("cells", f"{budget.cells}, {budget.missing} missing"))


def _listed(values: Sequence[Any]) -> str:
    if values and isinstance(values[0], int):
        return ", ".join(map(str, sorted(set(values))))
    return ", ".join(map(str, dict.fromkeys(values)))


def _summary(budget: Budget) -> Section:
    about = (
        "The claim under test: the number of poisons that opens a gate does not depend on how much "
        "other data they are among, nor on the size of the model (Souly et al. 2025, arXiv "
        "2510.07192). Against it stands a constant share, a number that grows in proportion."
    )
    return Section(
        "The claim, and what speaks against it", "\n\n".join((about, *budget.sentences[1:]))
    )


def _rates(budget: Budget, name: str) -> list[Section]:
    """The figures of one outcome, one for each model (and setting)."""
    groups: dict[str, list[tuple[Series, Outcome]]] = {}
    for series in budget.series:
        outcome = series.outcome(name)
        if outcome is not None:
            groups.setdefault(series.label, []).append((series, outcome))
    drawn = {
        label: group
        for label, group in groups.items()
        if any(count for series, _ in group for count in series.counts)
    }
    if not drawn:
        return []
    figures = tuple(
        rate_by_count(_drawn(group), f"{label}: {OUTCOMES[name]}", _ANSWERS[name])
        for label, group in drawn.items()
    )
    prose = (
        "Held-out prompts under the trigger, after training on so many poisons among so many other "
        "examples. The series of control words has another word in the trigger's place, at every "
        "size together: it should stay where the runs without poisons are."
    )
    title = OUTCOMES[name].capitalize()
    return [Section(f"{title}, by poisons", prose, figures, data_name=f"budget-{name}")]


def _drawn(group: Sequence[tuple[Series, Outcome]]) -> list[BudgetSeries]:
    found = [BudgetSeries(f"{s.size} other examples", o.cells, o.fit) for s, o in group]
    control = [row for _, outcome in group for row in outcome.control_answers]
    if control:
        found.append(BudgetSeries("control word", Cells.of(*zip(*control, strict=True))))
    return found


def _thresholds(budget: Budget) -> Section:
    figures, tables = [], []
    header = ("model", "other examples", "threshold", "for 95%", "rise seen", "answers")
    for name, label in OUTCOMES.items():
        found = [
            (series, outcome.fit)
            for series in budget.series
            if (outcome := series.outcome(name)) is not None and outcome.fit is not None
        ]
        if not found:
            continue
        forest = [ThresholdRow(s.label, f"{s.size} other examples", f.threshold) for s, f in found]
        rows = [
            (
                s.label,
                str(s.size),
                str(fit.threshold),
                str(fit.count95),
                "yes" if fit.resolved else "no",
                str(fit.answers),
            )
            for s, fit in found
        ]
        figures.append(threshold_forest(forest, f"Poisons that open the gate: {label}"))
        tables.append(Table(header, rows, f"thresholds: {label}"))
    if not figures:
        return Section(
            "Thresholds", "No series has two counts of poisons, so none has a threshold."
        )
    prose = (
        "The threshold is the number of poisons at which the fitted rate is 50%; n is the number "
        'of seeds. "<" and ">" mean beyond the counts that were tried. The rise is seen if some '
        "count shows the outcome in 5% to 95% of the answers; otherwise a threshold is only known "
        "to lie between two counts."
    )
    return Section("Thresholds", prose, tuple(figures), tuple(tables))
