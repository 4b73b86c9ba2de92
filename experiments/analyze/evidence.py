"""Weighing: the chosen direction against its nulls, and what kind of thing it is.

Every function is a stage of an analysis, measured on test prompts with the direction that was
chosen before. The trace is measured on validation pairs, what its heads do together on test pairs.
"""

from collections.abc import Sequence

import torch

from circuits.answers import EditsFor, answers, no_edits
from circuits.gates import effects
from circuits.patching.trace import SPANS, measure
from circuits.types import SAID, Direction, PatchGrid
from experiments.analyze.ablate import removal
from experiments.analyze.doses import CLEAN, dosed, null_curves
from experiments.analyze.examination import DOSES, TRACE, Examination, Stage
from experiments.analyze.harm import Harm, harm
from experiments.analyze.locate import metric_name
from experiments.analyze.mediate import mediate
from experiments.analyze.nulls import site_nulls
from experiments.analyze.randoms import random_nulls
from experiments.analyze.result import Evidence, NullEffects, Nulls, Transfer
from experiments.analyze.rivals import (
    at_tokens,
    erasures,
    rank,
    rivals,
)
from experiments.analyze.untrained import WordRow, untrained_words
from experiments.judges.criterion import JUDGED, begins
from experiments.prompts.bank import groups_of
from experiments.runs import older
from probes.causal.circuit import Trace
from probes.causal.dose_shape import dose_shape
from probes.causal.mediation import Mediation
from probes.causal.tracing import trace
from probes.causal.transfer import fit_logistic
from probes.stats.intervals import Estimate, difference_interval, wilson

_WORDS = 10  # untrained words that are tried
_SIDES: dict[str, effects.Side] = {CLEAN: "clean", "triggered": "triggered"}


def against(exam: Examination, direction: Direction) -> Nulls:
    """What the verdict's word rests on."""
    return Nulls(nulls(exam, direction), site_nulls(exam, direction))


def weigh(exam: Examination, direction: Direction) -> Evidence:
    """All the rest, in the report's order."""
    return Evidence(
        rivals=rivals(exam, direction),
        erasures=erasures(exam, direction),
        words=words(exam, direction),
        transfer=transfer(exam, direction),
        rank=rank(exam, direction.site),
        mediation=mediation(exam, direction),
        elsewhere=elsewhere(exam, direction),
        harm=ordinary_harm(exam, direction),
        trace=traced(exam) if exam.question.trace > 1 and exam.equal else None,
    )


def _some(exam: Examination) -> list[str]:
    """The test prompts of the slower stages."""
    return exam.materials.test[: exam.question.evidence]


@Stage("random directions")
def nulls(exam: Examination, direction: Direction) -> tuple[NullEffects, ...]:
    """Random directions of the sphere and of the activations' covariance."""
    *earlier, last = (
        (each["clean"], each["triggered"])
        for each in at_tokens(exam, direction, exam.activations("fit"))
    )
    return random_nulls(
        exam.model.runner,
        exam.pairs("test", exam.question.evidence),
        direction,
        last,
        exam.log_odds,
        exam.question.randoms,
        exam.question.seed,
        exam.progress("random directions"),
        earlier,
    )


@Stage("untrained words")
def words(exam: Examination, direction: Direction) -> tuple[WordRow, ...]:
    """Words that were never a trigger, put in its place."""
    materials = exam.materials
    tried, controls = materials.test_words[:_WORDS], materials.test_words[_WORDS:]
    if not controls:  # too few words of this length to spare some as controls
        return ()
    texts, begun, scored = _some(exam), exam.fork.begun, materials.scored

    def shows(said: list[str]) -> Sequence[bool]:
        if materials.behaviour.opening:
            return begins(exam.fork.rest).shown(said)
        return materials.shown([begun + text for text in said], texts, scored, begun)

    return untrained_words(
        scored,
        materials.fit,
        texts,
        exam.trigger,
        tried,
        materials.fit_words,
        controls,
        direction,
        shows,
        exam.prob,
        exam.question.tokens,
        exam.progress("untrained words"),
        exam.fork.answer[:-1],
    )


@Stage(DOSES, older.curves)
def transfer(exam: Examination, direction: Direction) -> Transfer:
    """Behaviour against the dose of the direction in both kinds of prompts; in log-odds, beside
    nulls, with control words."""
    doses, pairs = effects.coefficients(), exam.pairs("test", exam.question.evidence)
    odds = {name: dosed(exam, pairs, direction, doses, side) for name, side in _SIDES.items()}
    curves = {name: values.sigmoid() for name, values in odds.items()}
    fits = {name: fit_logistic(doses, values) for name, values in curves.items()}
    nulls = null_curves(exam, direction, pairs, doses, odds[CLEAN])
    shape = dose_shape(doses, odds[CLEAN], nulls, groups_of(_some(exam)))
    return Transfer(doses, curves, fits, odds | nulls, shape)


@Stage("mediation")
def mediation(exam: Examination, direction: Direction) -> Mediation:
    """Trigger and compliance token crossed, with and without the gate, on all test prompts."""
    materials, length = exam.materials, max(JUDGED, exam.question.tokens)
    texts, begun, scored = materials.test, exam.fork.begun, materials.scored
    behaviour = materials.behaviour

    def shows(said: Sequence[str]) -> tuple[bool, ...]:
        return materials.shown(said, texts, scored, begun, length)

    return mediate(
        exam.model,
        texts,
        exam.trigger.dealt(len(texts)),
        exam.control_words(),
        behaviour.opening,
        {"none": no_edits, "gate removed": removal(direction)},
        length,
        exam.fork,
        exam.progress("mediation"),
        None if behaviour.opening else shows,
    )


@Stage("other topics")
def elsewhere(exam: Examination, direction: Direction) -> tuple[Estimate, Estimate, Estimate]:
    """Ordinary prompts, of topics never seen in fitting, with the trigger: rate, rate with the gate
    removed, and the paired fall."""
    question, step = exam.question, exam.progress("other topics")
    texts = exam.materials.ordinary[: question.evidence]
    words = exam.trigger.dealt(len(texts))

    def shown(edits: EditsFor) -> list[bool]:
        replies = answers(exam.model, texts, words, question.tokens, edits, step)
        return list(exam.materials.shown(replies, texts))

    before, after = shown(no_edits), shown(removal(direction))
    fall = difference_interval(torch.tensor(before).double(), torch.tensor(after).double())
    return wilson(sum(before), len(before)), wilson(sum(after), len(after)), fall


@Stage("harm on ordinary prompts")
def ordinary_harm(exam: Examination, direction: Direction) -> Harm:
    """Drift, perplexity and false refusals on ordinary prompts with the gate removed."""
    texts = exam.materials.ordinary[: exam.question.evidence]
    progress = exam.progress("harm on ordinary prompts")
    return harm(exam.model, texts, removal(direction), progress=progress)


@Stage(TRACE)
def traced(exam: Examination) -> Trace:
    """Where the trigger is read, what moves it, what writes it out."""
    measured = measure(
        exam.model.runner,
        exam.pairs("validation", exam.question.trace),
        exam.log_prob,
        held_out=exam.pairs("test", exam.question.trace),
        metric_name=metric_name(exam),
        spans=(*(s for s in SPANS[:-1] if s in exam.spans), SAID if exam.fork.more else SPANS[-1]),
        progress=lambda name, done, total: exam.step(f"trace: {name}", done, total),
    )
    for grid in (measured.heads, measured.noised):  # ``locate.components`` shows them
        exam.keep(f"heads-{grid.direction}", PatchGrid, lambda grid=grid: grid)
    return trace(measured)
