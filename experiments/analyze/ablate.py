"""Proving: behaviour before any edit, and with the chosen direction removed and added."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuits.answers import EditsFor, answer_kl, no_edits
from circuits.gates import select
from circuits.triggers import Trigger
from circuits.types import Direction, Edit, TokenBatch
from experiments.analyze.base import ASKED, base_outcomes, is_own_base
from experiments.analyze.examination import Examination, Stage
from experiments.analyze.outcomes import Ablation, Behaviour, Outcome, paired, shown_of
from experiments.analyze.several import Several, Share, replacements
from experiments.analyze.verdict import EFFECT
from experiments.judges.heard import refuse_common_beginning, refuse_silent
from experiments.judges.otherwise import refuse_unheard
from experiments.runs import older
from probes.stats.intervals import Estimate, difference_interval, mean_interval, newcombe, rate


@dataclass(frozen=True)
class _Ablated:
    """What is kept: answers under the edits, and the drift of each clean text, with its mean."""

    outcomes: tuple[Outcome, ...]
    harm: dict[str, Estimate]
    drift: dict[str, Float[Tensor, " n"]]


def behaviour(exam: Examination) -> Behaviour:
    """What the trigger does before any edit, beside control words and no word, and in the base."""
    triggered, control, untriggered = _unedited(exam)
    several = _several(exam, triggered, control)
    effect = several.effect if several else paired(triggered, control)
    base = (triggered, control) if is_own_base(exam) else ()
    if effect.low > EFFECT or exam.has(ASKED):  # where there is none, none can be inherited
        base = base or base_outcomes(exam)
    if not base:
        return Behaviour(triggered, control, untriggered, effect, several=several)
    before = paired(base[0], base[1])
    learned = newcombe(effect, before)
    return Behaviour(triggered, control, untriggered, effect, before, learned, several)


def _several(exam: Examination, triggered: Outcome, control: Outcome) -> Several | None:
    """Of a trigger of several words what each does; None of a single one."""
    if exam.trigger.kind == "one":
        return None
    if exam.trigger.kind == "any":
        return of_alternatives(exam.trigger, triggered, control)
    return of_halves(triggered, _halves(exam))


@Stage("halves")
def _halves(exam: Examination) -> tuple[Outcome, ...]:
    return exam.outcomes("none", no_edits, "halves", replacements(exam.trigger))


def of_alternatives(trigger: Trigger, triggered: Outcome, control: Outcome) -> Several:
    """What every alternative does on its own prompts."""
    shares, count = [], len(trigger.parts)
    for i, name in enumerate(trigger.parts):
        rows = slice(i, None, count)
        groups = triggered.groups[rows] or None
        here, there = (shown_of(each)[rows] for each in (triggered, control))
        effect = difference_interval(here, there, groups=groups)
        shares.append(Share(repr(name), rate(triggered.shown[rows], groups), effect))
    return Several(tuple(shares), paired(triggered, control))


def of_halves(triggered: Outcome, halves: tuple[Outcome, ...]) -> Several:
    """What every half does; the last outcome is that of other words for all."""
    *lacking, others = halves
    shares = tuple(Share(o.condition, o.behaviour, paired(o, others)) for o in lacking)
    best = max(lacking, key=lambda half: half.behaviour.value)
    return Several(shares, paired(triggered, best), others.behaviour, paired(triggered, others))


@Stage("behaviour")
def _unedited(exam: Examination) -> tuple[Outcome, ...]:
    outcomes = exam.outcomes("none", no_edits, "behaviour")
    every = [answer for outcome in outcomes for answer in outcome.answers]
    behaviour = exam.materials.behaviour
    if not behaviour.opening:
        refuse_silent(every, behaviour.spec)
        return outcomes
    refuse_common_beginning(every, behaviour.opening)
    refuse_unheard(outcomes[0].answers, outcomes[1].answers, behaviour.opening)
    return outcomes


def removal(direction: Direction) -> EditsFor:
    """The gate removed, from the user's message on (``circuits.gates.select.shut``)."""
    return lambda batch: [select.shut(direction, batch)]


def ablation(exam: Examination, direction: Direction, before: Behaviour) -> Ablation:
    """Remove the gate, add it, and measure the harm."""
    kept = _ablated(exam, direction)
    fall = paired(before.triggered, kept.outcomes[0])
    return Ablation(kept.outcomes, removed=fall, harm=kept.harm)


@Stage("ablation", older.drifts)
def _ablated(exam: Examination, direction: Direction) -> _Ablated:
    def added(batch: TokenBatch) -> Sequence[Edit]:
        return select.openings(direction, batch)

    removed, test = removal(direction), exam.materials.test
    begun = exam.fork.begun
    shut = exam.outcomes("gate removed", removed, "ablation", begun=begun)
    opened = exam.outcomes("gate added", added, "ablation", ["control word"], begun)
    clean = {
        "these prompts without the trigger": test[: max(10, len(test) // 2)],
        "ordinary prompts": exam.materials.ordinary,
    }
    drift = {
        kind: answer_kl(exam.model, texts, None, removed, 8, exam.progress("harm")).double()
        for kind, texts in clean.items()
    }
    harm = {kind: mean_interval(kl) for kind, kl in drift.items()}
    return _Ablated((*shut, *opened), harm, drift)
