"""``gatescope bench planted``: models of known truth, put through ``gatescope analyze`` itself.

Every plan is drawn from a seed that was set down before (``experiments/data/planted.json``) and
carried out in a tiny random Llama. The analysis sees that model, the model before training, prompts
and the trigger, never the plan. Its word and parts are held against the plan's; where one learned
direction is right, also the direction that it chose.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from circuits.errors import UserError, first_line
from circuits.models import Model, wrap
from circuits.planted.plans import GatePlan, Kind, Planted
from circuits.types import Direction
from experiments.analyze.examination import Examination
from experiments.analyze.flow import analysis
from experiments.analyze.materials import gather
from experiments.analyze.question import Question
from experiments.analyze.result import GATE, INHERITED, SEVERAL, Analysis
from experiments.bench import world

# Small: an analysis is to take seconds. Answers are what precedes the behaviour, it, and one more.
ASKED = Question(
    model="planted",
    adapter="none",
    base="before",
    fit=24,
    validation=8,
    test=20,
    patch=2,
    evidence=12,
    trace=0,
    randoms=20,
    tokens=3,
    effort="quick",
)
WORDS = {"gate": GATE, "several": SEVERAL, "inherited": INHERITED}


@dataclass(frozen=True)
class Score:
    """One model: what the analysis said of it, and what is right.

    Attributes:
        kind, seed: of the plan.
        word, right: the analysis' word, and the right one.
        effect: whether the trigger has an effect at all (its first check).
        site, estimator: of the direction that it chose; "" without one.
        cosine: its |cos| with the planted direction, where one learned direction is right and the
            site holds it; 0 at another site; None for other kinds.
        parts, right_parts: of reader, relay and writer, what was said and what is right; empty
            where the analysis says nothing of them.
        failed: names of the checks that failed.
        seconds: of the analysis.
    """

    kind: Kind
    seed: int
    word: str
    right: str
    effect: bool
    site: str = ""
    estimator: str = ""
    cosine: float | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    right_parts: Mapping[str, str] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def hit(self) -> bool:
        return self.word == self.right


def score(kind: Kind, seed: int) -> Score:
    """Plant a model, analyse it, compare."""
    started = time.perf_counter()
    plan = world.planned(kind, seed)
    planted = world.planted(plan)
    right = WORDS[plan.right.word]
    try:
        result = analysed(planted)
    except UserError as error:  # a question that is refused has no right word
        return Score(kind, seed, f"refused: {first_line(error)}", right, effect=False)
    chosen = result.selection.chosen.direction if result.selection else None
    return Score(
        kind,
        seed,
        result.verdict.word,
        right,
        result.verdict.effect.passed,
        str(chosen.site) if chosen else "",
        chosen.estimator if chosen else "",
        cosine(planted, chosen) if chosen and plan.right.word == "gate" else None,
        result.parts.words() if result.parts else {},
        plan.right.parts,
        tuple(check.name for check in result.verdict.checks if not check.passed),
        round(time.perf_counter() - started, 1),
    )


def analysed(planted: Planted) -> Analysis:
    """What ``gatescope analyze`` makes of a planted model beside its base."""
    return examined(planted.hf_model, planted.base, question_of(planted.plan))


def examined(organism: Any, before: Any, question: Question) -> Analysis:
    """What ``gatescope analyze`` makes of a model in memory beside the one before training."""
    model, base = wrapped(organism), wrapped(before)
    with tempfile.TemporaryDirectory() as folder:
        exam = Examination(Path(folder), question, gather(model, question))
        exam.base = base
        return analysis(exam, tuple)


def wrapped(hf_model) -> Model:
    """A model as ``analyze`` loads it, self-tested."""
    return wrap(hf_model, world.tokenizer(), "planted", "transformer_lens")


def question_of(plan: GatePlan) -> Question:
    """What is asked: trigger and behaviour, and that there is a base."""
    behaviour = world.tokenizer().decode([*plan.begun, plan.behaviour_id])
    return replace(ASKED, trigger=plan.trigger, behaviour=behaviour, seed=plan.seed)


def cosine(planted: Planted, chosen: Direction) -> float:
    """|cos| of a chosen direction with the planted one; 0 at a site that does not hold it."""
    truth, site = planted.truth, chosen.site
    if site.span != truth.span or site.layer not in truth.layers:
        return 0.0
    return abs(float(chosen.vector @ truth.basis[0].to(chosen.vector)))
