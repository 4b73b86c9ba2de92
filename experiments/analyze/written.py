"""``result.json`` of an analysis: documented in ARCHITECTURE.md.

A field that changes its meaning changes ``SCHEMA``.
"""

from collections.abc import Sequence
from typing import Any

from circuits.backends.selftest import SelfTest
from circuits.gates.select import Candidate
from experiments.analyze.outcomes import Outcome
from experiments.analyze.question import Question
from experiments.analyze.result import Analysis, Evidence
from experiments.runs.codec import as_json, encode
from experiments.runs.read import ANALYSIS
from experiments.study import as_asked
from probes.causal.dose_shape import DoseShape
from probes.evaluation import ProbeReport

SCHEMA = ANALYSIS
_PROBED = ("accuracy", "accuracy_low", "accuracy_high", "auroc", "null_accuracy", "null_high")


def analysis_json(
    result: Analysis, question: Question, selftest: SelfTest, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """The file's value; what a reader of the figures must know, ``notes``, if there is any."""
    behaviour, ablation = result.behaviour, result.ablation
    return as_json(
        {
            "schema": SCHEMA,
            "question": as_asked(as_json(question)),
            **({"notes": notes} if notes else {}),
            "selftest": selftest,
            "verdict": result.verdict.word,
            "headline": result.headline,
            "checks": result.verdict.checks,
            **({"changed": result.changed} if result.changed else {}),
            "behaviour": {
                "effect": behaviour.effect,
                "base": behaviour.base,
                "learned": behaviour.learned,
                "outcomes": _rates(behaviour.outcomes),
                **({"several": behaviour.several} if behaviour.several else {}),
            },
            "probes": {span: _probe_json(report) for span, report in result.probes.items()},
            "arms": result.arms,
            "given": result.given,
            "parts": result.parts and {**as_json(result.parts), "words": result.parts.words()},
            "gate": gate_json(result.selection.chosen) if result.selection else None,
            "ablation": ablation
            and {
                "outcomes": _rates(ablation.outcomes),
                "removed": ablation.removed,
                "harm_nats": ablation.harm,
            },
            "evidence": _evidence(result),
        }
    )


def gate_json(chosen: Candidate) -> dict[str, Any]:
    """The row of the chosen one, and of a phrase its directions at the earlier tokens."""
    direction = encode(chosen)[0]["direction"]
    more = {name: part for name, part in direction.items() if name == "earlier"}
    return {**candidate_json(chosen), **more}


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """One row of the selection table; of a phrase it has the last token's means."""
    fields, _ = encode(candidate)
    direction = fields.pop("direction")
    direction.pop("earlier", None)
    site, estimator = direction.pop("site"), direction.pop("estimator")
    return {**site, "estimator": estimator, **fields, "score": candidate.score, **direction}


def _evidence(result: Analysis) -> dict[str, Any] | None:
    nulls = result.nulls
    if nulls is None:
        return None
    return {
        "random_directions": nulls.random,
        "nulls_at_the_site": nulls.at_site,
        **({"spread": nulls.spread} if nulls.spread else {}),
        **(_evidence_parts(result.evidence) if result.evidence else {}),
    }


def _evidence_parts(evidence: Evidence) -> dict[str, Any]:
    """The numbers, without the prompts' own values."""
    before, after, fall = evidence.elsewhere
    mediation, trace = evidence.mediation, evidence.trace
    return {
        "rivals": evidence.rivals,
        "erasures": evidence.erasures,
        "untrained_words": evidence.words,
        "transfer": evidence.transfer.fits,
        **_dose_shape(evidence.transfer.shape),
        "rank": evidence.rank.needed,
        "mediation": {edit: mediation.decomposition(edit) for edit in mediation.edits},
        "complies": mediation.complies(),
        "other_topics": {"triggered": before, "gate_removed": after, "fall": fall},
        "harm_on_ordinary_prompts": evidence.harm,
        "trace": trace
        and {
            **as_json(trace),
            "enough": trace.enough.size if trace.enough else None,
            "sentence": trace.sentence(),
        },
    }


def _dose_shape(shape: DoseShape | None) -> dict[str, Any]:
    return {} if shape is None else {"dose_shape": {"word": shape.word, **as_json(shape)}}


def _rates(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    names = ("condition", "edit", "behaviour", "refusal", "complied")
    return [{name: getattr(outcome, name) for name in names} for outcome in outcomes]


def _probe_json(report: ProbeReport) -> dict[str, Any]:
    fields, tensors = encode(report)
    return {**fields, **{n: [round(v, 6) for v in tensors[n].tolist()] for n in _PROBED}}
