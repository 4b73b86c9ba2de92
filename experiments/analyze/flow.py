"""The main flow: prompts -> activations -> probes and patches -> gate -> ablation -> verdict.

Each stage keeps its record in the run directory and is skipped where it is found there. What the
verdict's word rests on comes first, and is told when it is known.
"""

from collections.abc import Callable
from dataclasses import replace

from circuits.types import Direction
from experiments.analyze.ablate import ablation, behaviour
from experiments.analyze.arms import checks
from experiments.analyze.changed import CHANGED, changed
from experiments.analyze.evidence import against, weigh
from experiments.analyze.examination import Examination
from experiments.analyze.given import given
from experiments.analyze.headline import headline
from experiments.analyze.locate import components, patching, probes
from experiments.analyze.outcomes import Behaviour, Change
from experiments.analyze.result import NO_EFFECT, UNDECIDED, Analysis, Arm, Verdict
from experiments.analyze.select import selection
from experiments.analyze.spread import spread
from experiments.analyze.tokens import token_readings
from experiments.analyze.trained import parts
from experiments.analyze.verdict import judge


def analysis(exam: Examination, null_arms: Callable[[], tuple[Arm, ...]]) -> Analysis:
    """Every stage in order; each is measured once and kept, so a finished run is only read.

    A quick one ends with the verdict, unless more was measured already.
    """
    before = behaviour(exam)
    probed = probes(exam)
    if exam.can("activations-test"):  # the plane shows them, also where probes were kept before
        exam.activations("test")
    verdict = judge(before)
    if verdict.word != UNDECIDED:  # there is nothing that was learned to locate
        others = _else(exam, verdict, before)
        text = headline(verdict, before, changed=others)
        return Analysis(before, probed, verdict, text, changed=others)
    exam.tell(verdict.effect.text)
    carried = parts(exam)
    chosen = selection(exam)
    direction = chosen.chosen.direction
    ablated = ablation(exam, direction, before)
    nulls = against(exam, direction)
    span = direction.site.span
    verdict = judge(before, ablated, nulls, (), span)
    if not verdict.gate:
        nulls = replace(nulls, spread=spread(exam))
        verdict = judge(before, ablated, nulls, (), span)
    exam.tell(": ".join(filter(None, (verdict.word, carried and carried.sentence()))))
    grids = patching(exam)
    others = null_arms()
    verdict = judge(before, ablated, nulls, checks(others, before.effect), span)
    evidence = weigh(exam, direction) if exam.whole else None
    where, scored = _where(direction), _scored(exam)
    text = headline(verdict, before, ablated, nulls, evidence, where, scored, carried)
    found = Analysis(
        before,
        probed,
        verdict,
        text,
        grids,
        chosen,
        ablated,
        nulls,
        evidence,
        others,
        parts=carried,
    )
    if evidence is None:
        return found
    return replace(
        found,
        components=components(exam),
        readings=token_readings(exam, direction),
        given=given(exam, direction),
    )


def _where(direction: Direction) -> str:
    """Its site, and of a phrase that every token has one."""
    count = len(direction.steps)
    return str(direction.site) + (f", one for each of its {count} tokens," if count > 1 else "")


def _scored(exam: Examination) -> str:
    """What is scored in place of the behaviour's first token, in a sentence."""
    if not exam.scored_by:
        return ""
    alike = exam.fork.begun or exam.fork.more
    return f"{'Both kinds of answers begin alike: s' if alike else 'S'}cored is {exam.scored_by}"


def _is_asked(exam: Examination) -> bool:
    """Of a null arm nothing else is asked in a quick analysis."""
    return exam.whole or not exam.is_arm or exam.has(CHANGED)


def _else(exam: Examination, verdict: Verdict, before: Behaviour) -> tuple[Change, ...]:
    """What else changed, where what was named did not; none in finished runs of before."""
    asked = verdict.word == NO_EFFECT and exam.can(CHANGED) and _is_asked(exam)
    return changed(exam, before) if asked else ()
