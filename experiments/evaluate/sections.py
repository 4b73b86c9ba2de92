"""The page of an evaluation: verdict, six properties, three rules, what was searched, limits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.evaluate.attacks import SEARCHERS
from experiments.evaluate.metrics import PROPERTIES, known
from experiments.evaluate.question import EvaluateQuestion
from experiments.evaluate.rules import AspectChecks, Check, Verdict
from experiments.evaluate.scorecard import Difference, Evaluated, Scorecard
from experiments.study import Run
from viz.figures.radar import Cleared, property_radar
from viz.page.page import Report, Section, Table
from viz.page.wording import number

METRICS = """\
Every metric has its interval at 95%, the number of prompts (or keys) it rests on, and where it \
makes sense a null: the same measured on the base model, on the base model in 8 bits (KL and \
perplexity), or by random search. A threshold is cleared only if the interval's worse end clears it.

The radar shows the share of a property's thresholds that are cleared, not how large a metric \
is."""
_SEARCH = """\
Free tokens were searched that open without the trigger, or shut in spite of it, at random and by \
gradient (greedy coordinate gradient), with equal budgets of passes. Shown is what each found on \
prompts that the search had not seen. A bounded search that finds nothing shows that this budget \
finds nothing, and no more."""
_LIMITS = """\
A verdict is about this battery, these prompts and these thresholds. "Secure" is never shown by \
testing: what passes here has resisted what was tried. Training seeds and poisons to reach 95% \
take several organisms and are reported only from a sweep. Judges are rules on generated English \
text. Replay is by definition as high as success where one trigger serves every prompt."""


MARKS = {"passed": "✓ cleared", "failed": "✗ not cleared", "left out": "– does not apply"}


def page(run: Run[EvaluateQuestion, Any], result: Evaluated) -> Report:
    """One evaluation."""
    card, recipe = result.card, result.evidence.asked.recipe
    verdict = card.verdicts[0]
    radar = property_radar({card.name: scores(verdict)})
    return Report(
        title="Six properties and a verdict",
        verdict=f"{verdict.word} ({verdict.profile})",
        headline=_headline(verdict),
        tone="none" if verdict.secure else "gate",
        facts=(
            ("mapping", card.name),
            ("scheme", card.scheme),
            ("trigger", recipe.trigger or f"{len(recipe.keys)} secret keys"),
            ("prompts of a kind", str(card.prompts)),
            ("measured in", f"{result.seconds / 60:.1f} minutes"),
        ),
        sections=(
            Section("Six properties", METRICS, (radar,), (metrics_table(card, verdict),)),
            *map(rules, card.verdicts),
            Section("Adaptive search", _SEARCH, tables=(_searched(result.searches),)),
            Section("What this does not show", _LIMITS),
        ),
        reproduce=run.command,
    )


def _headline(verdict: Verdict) -> str:
    if verdict.secure:
        return "Every threshold of the profile is cleared by the worse end of its interval."
    parts = [f"{p.aspect} ({len(p.failing)})" for p in verdict.aspects if p.failing]
    names = ", ".join(spaced(check.metric) for check in verdict.failing)
    return f"Not cleared, by aspect: {', '.join(parts)}. These are: {names}."


def spaced(metric: str) -> str:
    """A metric's name as a reader sees it."""
    return metric.replace("_", " ")


def scores(verdict: Verdict) -> list[Cleared]:
    """Of the thresholds and goals that apply, how many are cleared, by property."""
    due = [check for check in verdict.checks.values() if check.state != "left out"]
    passed = Counter(known(check.metric).property for check in due if check.state == "passed")
    of = Counter(known(check.metric).property for check in due)
    return [Cleared(name, passed[name], of[name]) for name in PROPERTIES]


def rules(verdict: Verdict) -> Section:
    """What each aspect asks for, and every check of it."""
    prose = f"{verdict.about}\n\n" + "\n\n".join(
        f"{part.aspect.capitalize()}: {part.text} {_passed(part)}" for part in verdict.aspects
    )
    rows = [(part.aspect, *_checked(check)) for part in verdict.aspects for check in part.checks]
    rows += [("goal, not in the verdict", *_checked(check)) for check in verdict.goals]
    header = ("aspect", "metric", "threshold", "worse end", "outcome", "what would change it")
    table = Table(header, rows, f"every check of the profile {verdict.profile}")
    title = f"Confidentiality, integrity, availability: {verdict.profile}"
    return Section(title, prose, tables=(table,))


def _checked(check: Check) -> tuple[str, str, str, str, str]:
    """Metric, threshold, worse end, outcome, what would change it."""
    end = "" if check.end is None else f"{check.end:.3g}"
    return spaced(check.metric), check.bound, end, MARKS[check.state], check.evidence


def _passed(part: AspectChecks) -> str:
    due = [check for check in part.checks if check.state != "left out"]
    return f"({len(due) - len(part.failing)} of {len(due)} checks passed.)"


def _searched(searches: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for aim, by_searcher in searches.items():
        for searcher in SEARCHERS:
            best = by_searcher[searcher]
            score, first = f"{best['score']:.2f}", repr(best["said"][0][:60])
            rows.append((aim, searcher, str(best["passes"]), repr(best["text"]), score, first))
    header = ("aim", "searcher", "passes", "best tokens", "score (nats)", "answers, the first")
    return Table(header, rows, "score: signed log-probability of the behaviour's first token")


def metrics_table(card: Scorecard, verdict: Verdict) -> Table:
    """Every metric with its interval, n, null, threshold and outcome, or why it has no number."""
    checks = verdict.checks
    rows = [
        (
            m.property,
            _described(m.name, m.about),
            number(m.estimate),
            str(m.estimate.n),
            number(m.null),
            *_outcome(checks.get(m.name), "no threshold"),
        )
        for m in card.metrics
    ]
    rows += [
        (
            known(a.name).property,
            f"{_described(a.name, known(a.name).about)} ({a.reason})",
            *("", "", ""),
            *_outcome(checks.get(a.name), MARKS["left out"]),
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
        (spaced(d.metric), *map(number, (d.first, d.second, d.change)), d.better)
        for d in differences
    ]
    return Table(header, rows, f"{names[0]} against {names[1]}, with 95% intervals")


def _described(metric: str, about: str) -> str:
    return spaced(metric) + (f": {about}" if about else "")


def _outcome(check: Check | None, none: str) -> tuple[str, str]:
    """The bound and whether it is cleared; `none` where no threshold is stated."""
    return (check.bound, MARKS[check.state]) if check else ("", none)
