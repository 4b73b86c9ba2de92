"""Tables of scorecards: every metric beside its threshold, and two cards side by side."""

from collections.abc import Mapping, Sequence

from experiments.evaluate.metrics import PROPERTIES, known
from experiments.evaluate.rules import Check, Verdict
from experiments.evaluate.scorecard import Difference, Scorecard
from viz.page.page import Table
from viz.page.wording import number

MARKS = {"passed": "✓ cleared", "failed": "✗ not cleared", "left out": "– does not apply"}


def metrics_table(card: Scorecard, verdict: Verdict) -> Table:
    """Every metric with its interval, n, null, threshold and outcome, or why it has no number."""
    checks = {c.metric: c for part in verdict.aspects for c in part.checks}
    checks |= {c.metric: c for c in verdict.goals}
    rows = [
        (
            m.property,
            _named(m.name, m.about),
            number(m.estimate),
            str(m.estimate.n),
            number(m.null),
            *_outcome(checks, m.name, "no threshold"),
        )
        for m in card.metrics
    ]
    rows += [
        (
            known(a.name).property,
            f"{_named(a.name, known(a.name).about)} ({a.reason})",
            "",
            "",
            "",
            *_outcome(checks, a.name, MARKS["left out"]),
        )
        for a in card.absent
    ]
    rows.sort(key=lambda row: PROPERTIES.index(row[0]))
    header = ("property", "metric", "value [95%]", "n", "null", "threshold", "outcome")
    return Table(header, rows, f"every metric, against the profile {verdict.profile}")


def change_table(differences: Sequence[Difference], names: tuple[str, str]) -> Table:
    """Two cards side by side, the change with its interval, and whether it is told apart from 0."""
    header = ("metric", *names, "second minus first", "second is")
    rows = [
        (d.metric.replace("_", " "), *map(number, (d.first, d.second, d.change)), d.better)
        for d in differences
    ]
    return Table(header, rows, f"{names[0]} against {names[1]}, with 95% intervals")


def _named(metric: str, about: str) -> str:
    return metric.replace("_", " ") + (f": {about}" if about else "")


def _outcome(checks: Mapping[str, Check], metric: str, none: str) -> tuple[str, str]:
    """The bound and whether it is cleared; `none` where no threshold is stated."""
    check = checks.get(metric)
    return (check.bound, MARKS[check.state]) if check else ("", none)
