"""The head of the report: title, verdict card, facts, and what does not fit together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.analyze.read import AnalysisRun
from experiments.report.kinds import BatteryRun, DefenceRun, EvaluationRun, GeometryRun, OtherRun

Runs = Sequence[AnalysisRun | OtherRun]


def _analyses(runs: Runs) -> list[AnalysisRun]:
    return [run for run in runs if isinstance(run, AnalysisRun)]


def title(runs: Runs) -> str:
    """The question, where there is one."""
    triggers = dict.fromkeys(run.question.trigger for run in _analyses(runs))
    if len(triggers) == 1:
        return f"Does {next(iter(triggers))!r} work through a gate?"
    if triggers:
        return "Do these triggers work through a gate?"
    names = dict.fromkeys(run.name for run in runs)
    return f"What is known of {', '.join(names)}"


def verdict(runs: Runs) -> str:
    """A gate or none, counted where there are several analyses."""
    analyses = _analyses(runs)
    if not analyses:
        return "No analysis given"
    found = sum(run.result.verdict.gate for run in analyses)
    if len(analyses) == 1:
        return "Gate found" if found else "No gate"
    return f"Gate found in {found} of {len(analyses)} runs"


def tone(runs: Runs) -> Literal["gate", "none", "unclear"]:
    """Of the verdict card."""
    analyses = _analyses(runs)
    if not analyses:
        return "unclear"
    return "gate" if any(run.result.verdict.gate for run in analyses) else "none"


def headline(runs: Runs) -> str:
    """The answer in a few sentences, a sentence for every other kind of run."""
    analyses = _analyses(runs)
    said = [
        run.result.headline if len(analyses) == 1 else f"{run.name}: {_brief(run)}."
        for run in analyses
    ]
    return " ".join([*said, *(text for run in runs if (text := _sentence(run)))])


def _brief(run: AnalysisRun) -> str:
    """An analysis among several; the first table has its figures."""
    result = run.result
    word, effect = result.verdict.word, f"{100 * result.behaviour.effect:.0f}"
    site = (
        f" at {result.selection.chosen.direction.site}"
        if result.verdict.gate and (result.selection)
        else ""
    )
    return f"{word}{site}, the trigger changes the rate by {effect} points"


def _sentence(run: AnalysisRun | OtherRun) -> str:
    if isinstance(run, EvaluationRun):
        first = run.card.verdicts[0]
        failing = len(first.failing)
        end = "" if first.secure else f" ({failing} thresholds not cleared)"
        word = "secure" if first.secure else "not secure"
        return f"Evaluated, {run.name} is {word} under the profile {first.profile}{end}."
    if isinstance(run, DefenceRun):
        return f"Of {len(run.found.rows)} defences of {run.name} {len(run.found.holding)} hold."
    if isinstance(run, BatteryRun):
        return f"A battery leaves {run.retention.area:.0%} of {run.name}'s behaviour."
    return ""


def facts(runs: Runs) -> tuple[tuple[str, str], ...]:
    """What was asked about, in the verdict card."""
    analyses = _analyses(runs)
    if len(analyses) != 1:
        kinds = dict.fromkeys(str(run.manifest["kind"]) for run in runs)
        return (("runs", str(len(runs))), ("kinds", ", ".join(kinds)))
    question, result = analyses[0].question, analyses[0].result
    found = [
        ("model", Path(question.model).name),
        ("adapter", Path(question.adapter).name),
        ("trigger", question.trigger),
        ("behaviour", f"answers beginning {question.behaviour!r}"),
        ("test prompts", str(result.behaviour.effect.n)),
    ]
    if result.selection:
        found.append(("site", str(result.selection.chosen.direction.site)))
    return tuple(found)


def notes(runs: Runs) -> list[str]:
    """What a reader must know where runs do not speak of one mapping."""
    found = dict.fromkeys(_mapping(run) for run in runs)
    if len(found) < 2:
        return []
    listed = "; ".join(f"{name} with trigger {trigger!r}" for name, trigger in found)
    return [f"These runs are not all of one mapping: {listed}. Sections speak of different models."]


def _mapping(run: AnalysisRun | OtherRun) -> tuple[str, str]:
    question: dict[str, Any] = run.manifest["question"]
    trigger = question.get("trigger") or question.get("mapping", {}).get("trigger", "")
    if isinstance(run, AnalysisRun | EvaluationRun | DefenceRun | GeometryRun | BatteryRun):
        return run.name, trigger
    return Path(str(question.get("adapter", "none"))).name, trigger
