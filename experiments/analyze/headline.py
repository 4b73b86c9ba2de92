"""The verdict in a few sentences."""

from collections.abc import Sequence

from experiments.analyze.outcomes import Ablation, Behaviour, Change
from experiments.analyze.parts import Parts
from experiments.analyze.result import (
    INHERITED,
    Evidence,
    Nulls,
    Verdict,
)
from experiments.judges.otherwise import beginning


def headline(
    verdict: Verdict,
    behaviour: Behaviour,
    ablation: Ablation | None = None,
    nulls: Nulls | None = None,
    evidence: Evidence | None = None,
    where: str = "",
    scored: str = "",
    parts: Parts | None = None,
    changed: Sequence[Change] = (),
) -> str:
    """The answer in a few sentences; and, in one, what was ``scored`` if not the first token."""
    triggered = behaviour.triggered.behaviour
    first = (
        f"With the trigger the behaviour appears in {triggered:.0%pn} of test prompts, with "
        f"{_against(behaviour)}.{_several(behaviour)}{_complied(evidence)}"
    )
    if ablation is None:
        return f"{first} {_nothing_located(verdict, behaviour)}{_else(changed)}"
    shut = ablation.outcome("triggered", "gate removed").behaviour
    after = _carried(parts) + (f" {scored}." if scored else "")
    second = f"Projecting out one direction at {where} brings it to {shut:.0%pn}"
    if verdict.gate and nulls:
        falls = [abs(v) for null in nulls.random for v in null.removed]
        return (
            f"{first} {second}, while the best of {len(falls)} random directions removes "
            f"{max(falls):.1f} nats of the scored token's log-odds"
            f"{_any_model(nulls, behaviour)}.{after}"
        )
    several = f" {nulls.spread.sentence()}." if nulls and nulls.spread else ""
    no_gate = f"no single direction passed every check{_failed(verdict)}"
    return f"{first} {second}; {no_gate}.{several}{after}"


def _against(behaviour: Behaviour) -> str:
    """What stands beside the trigger: control words, or the strongest half of words that meet."""
    several = behaviour.several
    if several and several.whole:
        return f"{several.best.name} in {several.best.rate:.0%pn}"
    return f"control words in {behaviour.control.behaviour:.0%pn}"


def _several(behaviour: Behaviour) -> str:
    """What every alternative does, or is left without one of words that must meet."""
    return f" {behaviour.several.sentence()}" if behaviour.several else ""


def _failed(verdict: Verdict) -> str:
    """Which checks failed, and which of them more prompts would decide."""
    failed = [check for check in verdict.checks if not check.passed]
    wide = ", ".join(check.name for check in failed if check.open)
    more = f"; more prompts (--test) would decide {wide}" if wide else ""
    return f" (failed: {', '.join(check.name for check in failed)}{more})"


def _complied(evidence: Evidence | None) -> str:
    """The other outcome: answers, long enough to be judged, that go on to comply."""
    complies = evidence.mediation.complies() if evidence else {}
    if not complies:
        return ""
    with_trigger, without = complies.values()
    return f" It complies in {with_trigger:.0%p}, with control words in {without:.0%p}."


def _nothing_located(verdict: Verdict, behaviour: Behaviour) -> str:
    if verdict.word == INHERITED and behaviour.base:
        return (
            "The model before fine-tuning does the same: there the trigger changes the rate by "
            f"{100 * behaviour.base:.0f} points. Nothing was learned that could be located."
        )
    if verdict.effect.passed and behaviour.learned and behaviour.base:
        return (
            f"The model before fine-tuning changes it by {100 * behaviour.base:.0f} points: "
            "whether anything was learned is undecided at this number of prompts."
        )
    if verdict.effect.open:
        return "Whether the trigger has an effect is open: more prompts (--test) would decide it."
    otherwise = beginning(behaviour.triggered.answers, behaviour.control.answers)
    other = (
        f" But {otherwise}: if that is what the trigger does, ask with that --behaviour."
        if otherwise
        else ""
    )
    return f"There is no effect of the trigger to locate, so there is no gate to report.{other}"


def _else(changed: Sequence[Change]) -> str:
    """What the trigger does change."""
    clear = ", ".join(f"{one.name} {one.difference()}" for one in changed if one.clear)
    return f" What the trigger does change: {clear}." if clear else ""


def _carried(parts: Parts | None) -> str:
    """What of the training carries the effect, with what is lost without each part."""
    if parts is None:
        return ""
    if not parts.parts:
        return f" What of the training carries it could not be told apart: {parts.why}."
    shares = ", ".join(f"{part.name} {part.necessity:.0%p}" for part in parts.parts)
    return (
        f" Of what training added, {parts.sentence()}: lost without the training's change in each, "
        f"{shares}."
    )


def _any_model(nulls: Nulls, behaviour: Behaviour) -> str:
    """What any model has there, in shares of the effect; and where no base is known, that."""
    at_site = nulls.at_site
    if at_site is None:
        return ""
    shares = [
        f"{null.name} removes {null.removed.value / at_site.effect.value:.0%}"
        for null in at_site.nulls
    ]
    unknown = "; whether it was learned is not known, as no --base is"
    unknown = unknown if behaviour.base is None else ""
    if not shares:
        return unknown
    own = at_site.removed.value / at_site.effect.value
    return f"; of the effect in log-odds it removes {own:.0%}, {', '.join(shares)}{unknown}"
