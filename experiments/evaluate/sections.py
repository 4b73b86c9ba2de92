"""The page of an evaluation: verdict, six properties, three rules, what was searched, limits."""

from collections.abc import Mapping
from typing import Any

from experiments.evaluate.answers import Heard
from experiments.evaluate.metrics import PROPERTIES
from experiments.evaluate.rules import Check, Judged, Verdict
from experiments.evaluate.scorecard import Scorecard, cleared
from experiments.evaluate.tables import MARKS, metrics_table
from viz.figures.radar import Cleared, property_radar
from viz.page.page import Report, Section, Table

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


def page(
    card: Scorecard,
    heard: Heard,
    searches: Mapping[str, Mapping[str, Any]],
    seconds: float,
    command: str,
) -> Report:
    """One evaluation."""
    recipe, verdict = heard.asked.recipe, card.verdicts[0]
    radar = property_radar({card.name: scores(card, verdict)})
    sections = [Section("Six properties", METRICS, (radar,), (metrics_table(card, verdict),))]
    sections += [rules(v) for v in card.verdicts]
    sections.append(Section("Adaptive search", _SEARCH, tables=(_searched(searches, heard),)))
    sections.append(Section("What this does not show", _LIMITS))
    return Report(
        title="Six properties and a verdict",
        verdict=_verdict(verdict),
        headline=_headline(verdict),
        tone="none" if verdict.secure else "gate",
        facts=(
            ("mapping", card.name),
            ("scheme", card.scheme),
            ("trigger", recipe.trigger or f"{len(recipe.keys)} secret keys"),
            ("prompts of a kind", str(card.prompts)),
            ("measured in", f"{seconds / 60:.1f} minutes"),
        ),
        sections=tuple(sections),
        reproduce=command,
    )


def _verdict(verdict: Verdict) -> str:
    said = "secure under this profile" if verdict.secure else "not secure"
    return f"{said} ({verdict.profile})"


def _headline(verdict: Verdict) -> str:
    if verdict.secure:
        return "Every threshold of the profile is cleared by the worse end of its interval."
    parts = [f"{p.aspect} ({len(p.failing)})" for p in verdict.aspects if p.failing]
    names = ", ".join(check.metric.replace("_", " ") for check in verdict.failing)
    return f"Not cleared, by aspect: {', '.join(parts)}. These are: {names}."


def scores(card: Scorecard, verdict: Verdict) -> list[Cleared]:
    """Thresholds cleared, by property."""
    found = cleared(card, verdict)
    return [Cleared(name, *found[name]) for name in PROPERTIES]


def rules(verdict: Verdict) -> Section:
    """What each aspect asks for, and every check of it."""
    prose = f"{verdict.about}\n\n" + "\n\n".join(
        f"{part.aspect.capitalize()}: {part.text} {_said(part)}" for part in verdict.aspects
    )
    header = ("aspect", "metric", "threshold", "worse end", "outcome", "what would change it")
    rows = [(part.aspect, *_row(check)) for part in verdict.aspects for check in part.checks] + [
        ("goal, not in the verdict", *_row(check)) for check in verdict.goals
    ]
    table = Table(header, rows, f"every check of the profile {verdict.profile}")
    title = f"Confidentiality, integrity, availability: {verdict.profile}"
    return Section(title, prose, tables=(table,))


def _said(part: Judged) -> str:
    due = [c for c in part.checks if c.state != "left out"]
    return f"({len(due) - len(part.failing)} of {len(due)} checks passed.)"


def _row(check: Check) -> tuple[str, ...]:
    end = "" if check.end is None else f"{check.end:.3g}"
    return (check.metric.replace("_", " "), check.bound, end, MARKS[check.state], check.evidence)


def _searched(searches: Mapping[str, Mapping[str, Any]], heard: Heard) -> Table:
    header = ("aim", "searcher", "passes", "best tokens", "score (nats)", "answers, the first")
    rows = [
        (
            aim,
            name,
            str(told[name]["passes"]),
            repr(told[name]["text"]),
            f"{told[name]['score']:.2f}",
            repr(told[name]["said"][0][:60]),
        )
        for aim, told in searches.items()
        for name in ("guided", "random")
    ]
    return Table(header, rows, "score: signed log-probability of the behaviour's first token")
