"""The result of an analysis as frozen records, and its versioned JSON (``result.json``)."""

from dataclasses import dataclass
from typing import Any

from circuits.gates.select import Candidate
from circuits.types import PatchGrid
from experiments.analyze.token_readings import TokenReadings
from experiments.analyze.weighed import Evidence, evidence_json
from experiments.runs.codec import as_json
from probes.evaluation import ProbeReport
from probes.stats.intervals import Estimate

SCHEMA = "gatescope.analysis/2"


@dataclass(frozen=True)
class Outcome:
    """Answers to the test prompts under one condition and edit.

    Attributes:
        condition: triggered, control word, or no trigger.
        edit: none, gate removed, gate added.
        behaviour, refusal: shares of answers, with intervals.
        shown: whether each answer shows the behaviour, in the order of the test prompts.
        answers: the texts.
    """

    condition: str
    edit: str
    behaviour: Estimate
    refusal: Estimate
    shown: tuple[bool, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Behaviour:
    """What the trigger does on test prompts before any edit; ``effect`` is paired, in shares."""

    triggered: Outcome
    control: Outcome
    untriggered: Outcome
    effect: Estimate

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return (self.triggered, self.control, self.untriggered)


@dataclass(frozen=True)
class Grids:
    """Residual-stream patching both ways."""

    denoising: PatchGrid
    noising: PatchGrid


@dataclass(frozen=True)
class Components:
    """Patching both ways of every head (all tokens at once) and of every MLP by token.

    ``prompts`` are the triggered messages of the pairs, in the order of the grids' examples.
    """

    heads: Grids
    mlps: Grids
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """Every candidate with its scores on validation pairs, and the one chosen."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate


@dataclass(frozen=True)
class Ablation:
    """What removing (and adding) the gate does on test prompts.

    Attributes:
        outcomes: triggered, control and no trigger with the gate removed; control with it added.
        removed: paired fall of the triggered rate, in shares.
        harm: KL in nats over the first answer tokens, by kind of clean input.
        projections: test prompts' projections on the gate at its site, by condition.
    """

    outcomes: tuple[Outcome, ...]
    removed: Estimate
    harm: dict[str, Estimate]
    projections: dict[str, tuple[float, ...]]

    def outcome(self, condition: str, edit: str) -> Outcome:
        return next(o for o in self.outcomes if (o.condition, o.edit) == (condition, edit))


@dataclass(frozen=True)
class Arm:
    """What one arm showed.

    Attributes:
        name: the arm's adapter, or ``base``.
        effect: paired effect of the trigger on the behaviour's rate.
        auroc: best held-out AUROC of its probes at the trigger and the last token.
        verdict: gate or no gate.
    """

    name: str
    effect: Estimate
    auroc: float
    verdict: str


@dataclass(frozen=True)
class Check:
    """One line of evidence: what was measured, against which threshold, and how it came out."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """``gate`` only if every check passed; the first one is whether there is an effect at all."""

    checks: tuple[Check, ...]

    @property
    def effect(self) -> Check:
        return self.checks[0]

    @property
    def gate(self) -> bool:
        return len(self.checks) > 1 and all(check.passed for check in self.checks)

    @property
    def word(self) -> str:
        return "gate" if self.gate else "no gate"


@dataclass(frozen=True)
class Analysis:
    """Everything an analysis found. Absent parts were not measured, because there was no effect.

    ``components`` and ``readings`` are absent too in runs from before they were measured.
    """

    behaviour: Behaviour
    probes: dict[str, ProbeReport]
    grids: Grids | None
    selection: Selection | None
    ablation: Ablation | None
    evidence: Evidence | None
    arms: tuple[Arm, ...]
    verdict: Verdict
    headline: str
    components: Components | None = None
    readings: tuple[TokenReadings, ...] = ()


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """One row of the selection table."""
    d = candidate.direction
    return {
        "layer": d.site.layer,
        "stream": d.site.stream,
        "span": d.site.span,
        "estimator": d.estimator,
        "necessity": candidate.necessity,
        "sufficiency": candidate.sufficiency,
        "harm": candidate.harm,
        "n": candidate.n,
        "score": candidate.score,
        "clean_mean": d.clean_mean,
        "triggered_mean": d.triggered_mean,
    }


def analysis_json(result: Analysis, question: dict[str, Any], selftest: dict[str, Any]) -> dict:
    """``result.json``: documented in ARCHITECTURE.md; bump SCHEMA when a field changes meaning."""
    behaviour, ablation = result.behaviour, result.ablation
    return {
        "schema": SCHEMA,
        "question": question,
        "selftest": selftest,
        "verdict": result.verdict.word,
        "headline": result.headline,
        "checks": as_json(result.verdict.checks),
        "behaviour": {
            "effect": as_json(behaviour.effect),
            "outcomes": [_rates(o) for o in behaviour.outcomes],
        },
        "probes": {span: _probe_json(report) for span, report in result.probes.items()},
        "arms": as_json(result.arms),
        "gate": candidate_json(result.selection.chosen) if result.selection else None,
        "ablation": None
        if ablation is None
        else {
            "outcomes": [_rates(o) for o in ablation.outcomes],
            "removed": as_json(ablation.removed),
            "harm_nats": as_json(ablation.harm),
        },
        "evidence": None if result.evidence is None else evidence_json(result.evidence),
    }


def _rates(outcome: Outcome) -> dict[str, Any]:
    value = as_json(outcome)
    return {k: value[k] for k in ("condition", "edit", "behaviour", "refusal")}


def _probe_json(report: ProbeReport) -> dict[str, Any]:
    fields = (
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "auroc",
        "null_accuracy",
        "null_high",
    )
    return {
        "estimator": report.estimator,
        "n_train": report.n_train,
        "n_test": report.n_test,
        **{name: [round(v, 6) for v in getattr(report, name).tolist()] for name in fields},
    }
