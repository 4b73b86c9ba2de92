"""``result.json`` of an analysis: documented in ARCHITECTURE.md.

A field that changes its meaning changes ``SCHEMA``.
"""

from collections.abc import Sequence
from typing import Any

from circuits.gates.select import Candidate
from experiments.analyze.result import Ablation, Analysis, Evidence, Outcome
from experiments.runs.codec import as_json, encode
from probes.causal.circuit import Trace
from probes.evaluation import ProbeReport

SCHEMA = "gatescope.analysis/2"
_PROBED = ("accuracy", "accuracy_low", "accuracy_high", "auroc", "null_accuracy", "null_high")


def analysis_json(result: Analysis, question: dict[str, Any], selftest: dict[str, Any]) -> dict:
    """The file's value."""
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
            "outcomes": _rates(behaviour.outcomes),
        },
        "probes": {span: _probe_json(report) for span, report in result.probes.items()},
        "arms": as_json(result.arms),
        "gate": candidate_json(result.selection.chosen) if result.selection else None,
        "ablation": ablation and _ablation_json(ablation),
        "evidence": result.evidence and evidence_json(result.evidence),
    }


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """One row of the selection table."""
    fields, _ = encode(candidate)
    direction = fields.pop("direction")
    site, estimator = direction.pop("site"), direction.pop("estimator")
    return {**site, "estimator": estimator, **fields, "score": candidate.score, **direction}


def _ablation_json(ablation: Ablation) -> dict[str, Any]:
    return {
        "outcomes": _rates(ablation.outcomes),
        "removed": as_json(ablation.removed),
        "harm_nats": as_json(ablation.harm),
    }


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The numbers, without the prompts' own values."""
    before, after, fall = evidence.elsewhere
    mediation, trace = evidence.mediation, evidence.trace
    return {
        "random_directions": as_json(evidence.nulls),
        "rivals": as_json(evidence.rivals),
        "erasures": as_json(evidence.erasures),
        "untrained_words": as_json(evidence.words),
        "transfer": as_json(evidence.transfer.fits),
        "rank": as_json(evidence.rank.needed),
        "mediation": {edit: as_json(mediation.decomposition(edit)) for edit in mediation.edits},
        "other_topics": as_json({"triggered": before, "gate_removed": after, "fall": fall}),
        "harm_on_ordinary_prompts": as_json(evidence.harm),
        "trace": None if trace is None else _trace_json(trace),
    }


def _trace_json(trace: Trace) -> dict[str, Any]:
    enough = trace.enough
    said = {"enough": enough.size if enough else None, "sentence": trace.sentence()}
    return {**as_json(trace), **said}


def _rates(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    names = ("condition", "edit", "behaviour", "refusal")
    return [as_json({name: getattr(outcome, name) for name in names}) for outcome in outcomes]


def _probe_json(report: ProbeReport) -> dict[str, Any]:
    fields, tensors = encode(report)
    return {**fields, **{n: [round(v, 6) for v in tensors[n].tolist()] for n in _PROBED}}
