"""The page of a poison-budget sweep: what the table says, its figures, and what it does not show.

The control word is drawn into every figure of rates, because a gate that any word opens is none.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Literal

from probes.budget.cells import Cells
from probes.budget.result import OUTCOMES, Budget, Comparison, Outcome, Rate, Series
from probes.stats.intervals import Estimate
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
_MARK = "\u00a0*"  # not parted from its row
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
    if budget.effects:
        verdict = f"{verdict} (by the raw rate)"
    sections = [_summary(budget)]
    for name in OUTCOMES:
        sections += _rates(budget, name)
    sections += [_thresholds(budget), _comparisons(budget), _nulls(budget)]
    sections.append(Section("What this does not show", _LIMITS))
    if grid:
        sections.append(Section("The sweep's file", code=grid.strip()))
    return render(
        Report(
            title="How many poisons open the gate",
            verdict=verdict,
            headline=budget.sentences[0],
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
    groups = groupby(_measured(budget, name), lambda pair: pair[0].label)
    figures = tuple(
        rate_by_count(_drawn(group), f"{label}: {OUTCOMES[name]}", _ANSWERS[name])
        for label, group in ((label, list(pairs)) for label, pairs in groups)
        if any(count for series, _ in group for count in series.counts)
    )
    prose = (
        "Held-out prompts under the trigger, after training on so many poisons among so many other "
        "examples. The series of control words has another word in the trigger's place, at every "
        "size together: it should stay where the runs without poisons are."
    )
    title = f"{OUTCOMES[name].capitalize()}, by poisons"
    return [Section(title, prose, figures, data_name=f"budget-{name}")] if figures else []


def _measured(budget: Budget, name: str) -> list[tuple[Series, Outcome]]:
    """The series of which this outcome was measured, with it."""
    return [(s, outcome) for s in budget.series if (outcome := s.outcome(name)) is not None]


def _drawn(group: Sequence[tuple[Series, Outcome]]) -> list[BudgetSeries]:
    series = [BudgetSeries(f"{s.size} other examples", o.cells, o.fit) for s, o in group]
    control = [row for _, outcome in group for row in outcome.control_answers]
    if control:
        series.append(BudgetSeries("control word", Cells.of_rows(control)))
    return series


def _tables(
    header: tuple[str, ...], caption: str, rows_of: Callable[[str], Sequence[tuple[str, ...]]]
) -> tuple[Table, ...]:
    """A table for every outcome of which there are rows."""
    rows = {label: rows_of(name) for name, label in OUTCOMES.items()}
    return tuple(Table(header, r, f"{caption}: {label}") for label, r in rows.items() if r)


def _thresholds(budget: Budget) -> Section:
    fits = {
        name: [(s, o.fit) for s, o in _measured(budget, name) if o.fit is not None]
        for name in OUTCOMES
    }
    if not any(fits.values()):
        return Section(
            "Thresholds", "No series has two counts of poisons, so none has a threshold."
        )
    figures = tuple(
        threshold_forest(
            [ThresholdRow(s.label, f"{s.size} other examples", f.threshold) for s, f in fits[name]],
            f"Poisons that open the gate: {label}",
        )
        for name, label in OUTCOMES.items()
        if fits[name]
    )
    header = ("model", "other examples", "threshold", "for 95%", "rise seen", "answers")
    tables = _tables(
        header,
        "thresholds",
        lambda name: [
            (
                s.label,
                str(s.size),
                str(fit.threshold),
                str(fit.count95),
                "yes" if fit.resolved else "no",
                str(fit.answers),
            )
            for s, fit in fits[name]
        ],
    )
    prose = (
        "The threshold is the number of poisons at which the fitted rate is 50%; n is the number "
        'of seeds. "<" and ">" mean beyond the counts that were tried. The rise is seen if some '
        "count shows the outcome in 5% to 95% of the answers; otherwise a threshold is only known "
        "to lie between two counts."
    )
    return Section("Thresholds", prose, figures, tables)


def _comparisons(budget: Budget) -> Section:
    """Ratios of thresholds beside ratios of sizes, a row for each comparison."""
    if not budget.comparisons:
        return Section("Comparisons", "No two series differ in size alone, so none is compared.")
    prose = (
        "The ratio of thresholds, second over first, beside the ratio of sizes. A constant count "
        "has a ratio of 1, a constant share the ratio of sizes. p is two-sided, of no difference, "
        "from swapping the sizes within seeds; n is the number of "
        "seeds, and the least p is what so many seeds can give at best. The claim rests on the "
        "smallest against the largest (marked *); neighbours are there to see where it changes."
    )
    tables = _tables(
        ("at", "compared", "sizes", "thresholds", "p", "conclusion"),
        "comparisons of sizes",
        lambda name: [_comparison(c) for c in budget.comparisons if c.outcome == name],
    )
    return Section("Comparisons", prose, tables=tables)


def _comparison(c: Comparison) -> tuple[str, ...]:
    first = (c.at, f"{c.compared}{_MARK * c.extreme}")
    if c.result is None:
        return (*first, "", "", "", "not compared")
    r = c.result
    ratio = "not known" if r.ratio.beyond == "unknown" else str(r.ratio)
    p = "not tested" if r.p is None else f"{r.p:.2g} (least {r.p_smallest:.2g})"
    return (*first, f"{r.ratio_of_size:.3g}", ratio, p, r.conclusion)


def _nulls(budget: Budget) -> Section:
    """Null rates of every series, and its refusals without the trigger."""
    prose = (
        "What should not happen. Under the trigger without poisons: is the behaviour there anyway? "
        "With a control word in the trigger's place, or without a word: does the gate open for "
        "less than its trigger? The highest rate of all counts is shown, with its count; it is "
        "more than a typical one. Refusals of restricted prompts without the trigger say whether "
        "the policy survived the training; ordinary prompts should not be refused."
    )
    tables = _tables(
        ("model", "others", "trigger, 0 poisons", "control word, highest", "no word, highest"),
        "rates that should be low",
        lambda name: [
            (s.label, str(s.size), _rate(o.null), _extreme(o.control), _extreme(o.plain))
            for s, o in _measured(budget, name)
        ],
    )
    about = ("model", "others", "refused, 0 poisons", "refused, lowest", "ordinary, highest")
    policy = [
        (
            s.label,
            str(s.size),
            _rate(next((r.rate for r in s.refused if r.poisons == 0), None)),
            _extreme(s.refused, -1),
            _extreme(s.ordinary_refused),
        )
        for s in budget.series
    ]
    tables = (*tables, Table(about, policy, "refused without the trigger"))
    return Section("Nulls, and whether the policy survived", prose, tables=tables)


def _extreme(rates: Sequence[Rate], sign: int = 1) -> str:
    """The highest rate with its count; the lowest by a ``sign`` of -1."""
    most = max(rates, key=lambda r: sign * r.rate.value, default=None)
    return _rate(most and most.rate, f", at {most.poisons}" if most else "")


def _rate(rate: Estimate | None, more: str = "") -> str:
    return "not measured" if rate is None else f"{rate:.1%p} (n={rate.n}{more})"
