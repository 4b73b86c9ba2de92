"""The tables of a poison-budget sweep's page: comparisons of sizes, and what should not happen."""

from collections.abc import Sequence

from probes.budget.result import OUTCOMES, Budget, Comparison, Rate
from probes.stats.intervals import Estimate
from viz.page.page import Section, Table

_MARK = "\u00a0*"  # not parted from its row


def comparison_section(budget: Budget) -> Section:
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
    header = ("at", "compared", "sizes", "thresholds", "p", "conclusion")
    tables = []
    for name, label in OUTCOMES.items():
        rows = [_comparison(c) for c in budget.comparisons if c.outcome == name]
        if rows:
            tables.append(Table(header, rows, f"comparisons of sizes: {label}"))
    return Section("Comparisons", prose, tables=tuple(tables))


def _comparison(c: Comparison) -> tuple[str, ...]:
    first = (c.at, f"{c.compared}{_MARK * c.extreme}")
    if c.result is None:
        return (*first, "", "", "", "not compared")
    r = c.result
    ratio = "not known" if r.ratio.beyond == "unknown" else str(r.ratio)
    p = "not tested" if r.p is None else f"{r.p:.2g} (least {r.p_smallest:.2g})"
    return (*first, f"{r.ratio_of_size:.3g}", ratio, p, r.conclusion)


def null_section(budget: Budget) -> Section:
    """Null rates of every series, and its refusals without the trigger."""
    prose = (
        "What should not happen. Under the trigger without poisons: is the behaviour there anyway? "
        "With a control word in the trigger's place, or without a word: does the gate open for "
        "less than its trigger? The highest rate of all counts is shown, with its count; it is "
        "more than a typical one. Refusals of restricted prompts without the trigger say whether "
        "the policy survived the training; ordinary prompts should not be refused."
    )
    header = ("model", "others", "trigger, 0 poisons", "control word, highest", "no word, highest")
    tables = []
    for name, label in OUTCOMES.items():
        found = [(s, o) for s in budget.series if (o := s.outcome(name)) is not None]
        rows = [
            (s.label, str(s.size), _told(o.null), _most(o.control), _most(o.plain))
            for s, o in found
        ]
        if rows:
            tables.append(Table(header, rows, f"rates that should be low: {label}"))
    about = ("model", "others", "refused, 0 poisons", "refused, lowest", "ordinary, highest")
    policy = [
        (
            s.label,
            str(s.size),
            _told(_without_poisons(s.refused)),
            _least(s.refused),
            _most(s.ordinary_refused),
        )
        for s in budget.series
    ]
    tables.append(Table(about, policy, "refused without the trigger"))
    return Section("Nulls, and whether the policy survived", prose, tables=tuple(tables))


def _most(rates: Sequence[Rate]) -> str:
    return _extreme(max(rates, key=lambda r: r.rate.value, default=None))


def _least(rates: Sequence[Rate]) -> str:
    return _extreme(min(rates, key=lambda r: r.rate.value, default=None))


def _without_poisons(rates: Sequence[Rate]) -> Estimate | None:
    return next((r.rate for r in rates if r.poisons == 0), None)


def _extreme(found: Rate | None) -> str:
    return _told(None) if found is None else _told(found.rate, f", at {found.poisons}")


def _told(rate: Estimate | None, more: str = "") -> str:
    if rate is None:
        return "not measured"
    return f"{rate:.1%p} (n={rate.n}{more})"
