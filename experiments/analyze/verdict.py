"""From measurements to a verdict: every check, its threshold, and one sentence on each."""

import math
from collections.abc import Sequence

from circuits.gates.select import LEAD
from experiments.analyze.outcomes import Ablation, Behaviour, paired
from experiments.analyze.result import (
    GATE,
    INHERITED,
    NO_EFFECT,
    SEVERAL,
    UNDECIDED,
    Check,
    NullEffects,
    Nulls,
    SiteNull,
    SiteNulls,
    Verdict,
)
from experiments.analyze.several import MOST as MOST_OF_HALF
from experiments.analyze.several import Several
from probes.stats.intervals import Estimate

EFFECT = 0.10  # the trigger must raise the behaviour by more than this (lower bound)
RETURN = 0.10  # with the gate removed, the rate must lie this close to the control rate
# Removing and adding the gate must undo and induce this share of the effect at least: the most that
# ten prompts, the fewest there may be, can show at the lower end.
MOST = 0.40
HARM = 0.10  # nats of KL on clean inputs (upper bound)
ACTS = 0.1  # nats of log-odds that what random directions are held against must move at least
NEEDED = "each word is needed"
SPELLING = "ahead of the word's spelling"
RANDOM = 0.5  # the best random direction must do less than this share of the gate's lower bound


def judge(
    behaviour: Behaviour,
    ablation: Ablation | None = None,
    nulls: Nulls | None = None,
    arms: Sequence[Check] = (),
    span: str = "",
) -> Verdict:
    """All checks in order, those of null arms last; without an ablation only the effect's.

    Args:
        span: where the direction was chosen.
    """
    learned = _learned(behaviour)
    checks = [_effect(behaviour), *_each(behaviour.several), *learned]
    if not checks[0].passed:
        return Verdict((checks[0],), NO_EFFECT)
    if ablation is None:
        inherited = not all(check.passed for check in learned) and _is_inherited(behaviour)
        return Verdict(tuple(checks), INHERITED if inherited else UNDECIDED)
    at_site = nulls.at_site if nulls else None
    checks += [
        _returned(behaviour, ablation),
        _opened(behaviour, ablation),
        *(_harmless(kind, estimate) for kind, estimate in ablation.harm.items()),
        *(_beats_random(null) for null in (nulls.random if nulls else ())),
        *(_ahead(at_site, span) if at_site else ()),
        *arms,
    ]
    if all(check.passed for check in checks):
        return Verdict(tuple(checks), GATE)
    several = nulls and nulls.spread and nulls.spread.carries
    return Verdict(tuple(checks), SEVERAL if several and _one_fails(checks) else UNDECIDED)


def _one_fails(checks: Sequence[Check]) -> bool:
    """Whether nothing fails but what is about the single direction, and some of that surely."""
    failed = [check for check in checks if not check.passed]
    about = ("necessity", "sufficiency", "harm on", "random directions", "ahead of ")
    known = all(c.name.startswith(about) and c.name != SPELLING for c in failed)
    return known and not all(check.open for check in failed)


def _is_inherited(behaviour: Behaviour) -> bool:
    return behaviour.base is not None and behaviour.base.low > EFFECT


def _learned(behaviour: Behaviour) -> list[Check]:
    """That the trigger does more than in the base model, where that is known."""
    base, learned = behaviour.base, behaviour.learned
    if base is None or learned is None:
        return []
    return [
        Check(
            "learned effect",
            learned.low > EFFECT,
            f"before fine-tuning the trigger changes the rate by {100 * base:.0f} points; it does "
            f"{100 * learned:.0f} more here; required: a lower bound above {100 * EFFECT:.0f}",
            open=learned.low <= EFFECT < learned.value,
        )
    ]


def _ahead(at_site: SiteNulls, span: str) -> list[Check]:
    """Of what any model has at the site; without a base, of the spelling at the trigger's own."""
    unknown = _unspelled(at_site) if span == "trigger" else []
    return [*(_beats(null, at_site) for null in at_site.nulls), *unknown]


def _beats(null: SiteNull, at_site: SiteNulls) -> Check:
    least = LEAD * at_site.effect.value
    ahead = (null.ahead_removed, null.ahead_added)
    passed = all(each.low >= least for each in ahead)
    return Check(
        f"ahead of {null.name}",
        passed,
        f"of {at_site.effect.value:.1f} nats of log-odds, it removes {null.removed:.1f} (this one "
        f"{at_site.removed:.1f}, {null.ahead_removed:.1f} more) and brings about {null.added:.1f} "
        f"(this one {at_site.added:.1f}, {null.ahead_added:.1f} more); required: lower bounds of "
        f"both differences of at least {LEAD:.0%} of the effect",
        open=not passed and all(each.value >= least for each in ahead),
    )


def _unspelled(at_site: SiteNulls) -> list[Check]:
    """At the trigger's own tokens a direction removes the input; only a base tells it apart, and
    only where training has left the input as it was."""
    if at_site.respelled:
        why = (
            "training changed the embedding of the trigger's tokens, so that what is learned there "
            "and how the word is spelt are one; required: an embedding as before training"
        )
    elif not at_site.nulls:
        why = (
            "at the trigger's own tokens every model holds how the word is spelt, and no --base "
            "says how much of the effect that is; required: --base, the model before fine-tuning"
        )
    else:
        return []
    return [Check(SPELLING, False, f"not known: {why}")]


def _each(several: Several | None) -> list[Check]:
    """That each alternative opens by itself; or that none is enough of words that must meet."""
    if several is None:
        return []
    meet = several.whole is not None
    required = (
        f"an upper bound below {MOST_OF_HALF:.0%} of what all of them do more than others"
        if meet
        else f"of each a lower bound above {100 * EFFECT:.0f} points more than control words"
    )
    by = ", ".join(f"{share} ({100 * share.effect:+.0f} points)" for share in several.shares)
    name = NEEDED if meet else "every alternative opens"
    return [Check(name, several.holds, f"{by}; required: {required}", open=several.open)]


def _effect(behaviour: Behaviour) -> Check:
    effect = behaviour.effect
    against = "control words"
    if behaviour.several and behaviour.several.whole:
        against = f"what does most without one of them, {behaviour.several.best.name}"
    return Check(
        "effect",
        effect.low > EFFECT,
        f"the trigger changes the rate by {100 * effect:.0f} points against {against}; "
        f"required: a lower bound above {100 * EFFECT:.0f}",
        open=effect.low <= EFFECT < effect.value,
    )


def _returned(behaviour: Behaviour, ablation: Ablation) -> Check:
    shut = ablation.outcome("triggered", "gate removed").behaviour
    clean, share = behaviour.control.behaviour, _share(ablation.removed, behaviour)
    back = abs(shut.value - clean.value) <= RETURN
    return Check(
        "necessity",
        back and share.low >= MOST,
        f"with the direction projected out, triggered prompts show the behaviour in "
        f"{shut:.0%pn}, against {clean:.0%pn} with control words, a fall by {share:.0%p} of the "
        f"trigger's effect; required: within {100 * RETURN:.0f} points, and a lower bound of the "
        f"fall of {MOST:.0%}",
        open=back and share.low < MOST <= share.value,
    )


def _opened(behaviour: Behaviour, ablation: Ablation) -> Check:
    opened = ablation.outcome("control word", "gate added")
    share = _share(paired(opened, behaviour.control), behaviour)
    return Check(
        "sufficiency",
        share.low >= MOST,
        f"added at its site to prompts with control words, the direction brings the behaviour to "
        f"{opened.behaviour:.0%pn}, a rise by {share:.0%p} of the trigger's effect; required: a "
        f"lower bound of {MOST:.0%}",
        open=share.low < MOST <= share.value,
    )


def _share(change: Estimate, behaviour: Behaviour) -> Estimate:
    """A change of the rate in shares of the trigger's effect."""
    return (1 / max(behaviour.effect.value, 1e-9)) * change


def _harmless(kind: str, harm: Estimate) -> Check:
    return Check(
        f"harm on {kind}",
        harm.high < HARM,
        f"removing it moves answers to {kind} by {harm.value:.3f} nats per token "
        f"[{harm.low:.3f}, {harm.high:.3f}] (n={harm.n}); required: upper bound below {HARM}",
        open=harm.value < HARM <= harm.high,
    )


def _beats_random(null: NullEffects) -> Check:
    gates = {"removed": null.gate_removed, "added": null.gate_added}
    best = {name: _best(null, name, gate) for name, gate in gates.items()}
    passed = all(gate.low > ACTS and best[name] < RANDOM for name, gate in gates.items())
    effects = ", ".join(
        f"{name} {best[name]:.0%} (this one {gate:.1f} nats)" for name, gate in gates.items()
    )
    return Check(
        f"random directions ({null.kind})",
        passed,
        f"the best of {len(null.removed)} does of what this one does at least, in log-odds of the "
        f"scored token and in answers, {effects}; required: less than {RANDOM:.0%}, and of this "
        f"one more than {ACTS}",
    )


def _best(null: NullEffects, done: str, gate: Estimate) -> float:
    """The largest share of the gate's lower bound; of the means in runs of before."""
    shares = getattr(null, f"share_{done}")
    if shares:
        return max(shares)
    return max(map(abs, getattr(null, done))) / gate.low if gate.low > 0 else math.inf
