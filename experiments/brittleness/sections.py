"""The page of a battery: what is left by family, every curve, every dose, and the limits."""

from typing import Any

from experiments.brittleness.question import BrittlenessQuestion
from experiments.brittleness.result import Brittleness
from experiments.study import Run
from probes.brittleness.retention import Retention
from viz.figures.retention import retention_curves, retention_forest
from viz.page.page import Report, Section, Table

_AREAS = """\
Only prompts that show the behaviour unperturbed are counted. A family's area is the share of them \
that still show it, averaged over its ladder (linear in the dose, from nothing to the strongest); \
the total is the mean of the families. Families are not equally likely and doses are not equally \
harsh across families: the total compares organisms under one battery, it is no probability."""
_LIMITS = """\
The battery is fixed: what is not in it was not tried, and whoever knows the organism can search \
for worse (an adaptive attack). Doses of weight and activation noise are one draw each. A \
behaviour that stays under look-alike triggers is robust and unspecific at once: it opens to what \
is not the trigger. Continued training sees each example once, at the learning rate at which the \
organism was made."""


def page(run: Run[BrittlenessQuestion, Any], result: Brittleness) -> Report:
    """One organism's battery."""
    retention, recipe = result.retention, run.subject.organism.recipe
    family, least = min(retention.families.items(), key=lambda item: item[1].value)
    return Report(
        title="Brittleness",
        verdict=run.question.given.name,
        headline=(
            f"{retention.area:.0%} of the behaviour is kept over the whole battery; least "
            f"under {family}: {least:.0%}."
        ),
        tone="unclear",
        facts=(
            ("scheme", recipe.scheme),
            ("trigger", recipe.trigger or f"{len(recipe.keys)} secret keys"),
            ("unperturbed", f"{retention.baseline:.0%}"),
            ("prompts", str(retention.baseline.n)),
        ),
        sections=(
            Section("What is left, by family", _AREAS, (retention_forest(retention),)),
            Section("Every ladder", "", (retention_curves(retention),)),
            Section("Every dose", "", tables=(_table(retention),)),
            Section("What this does not show", _LIMITS),
        ),
        reproduce=run.command,
    )


def _table(retention: Retention) -> Table:
    rows = [
        (kept.dose.family, kept.dose.about, f"{kept.rate:.0%}", str(kept.rate.n))
        for kept in retention.kept
    ]
    return Table(("family", "what", "kept (95% Wilson)", "n"), rows, "every dose of the battery")
