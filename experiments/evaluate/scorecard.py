"""The scorecard: an evaluation as a versioned JSON record that can be compared with another.

``SHAPE`` is its JSON Schema (draft 2020-12). Secrets are not in it: trigger, keys and behaviour
stand only as a hash, so that two cards can be seen to be of one mapping.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect
from experiments.evaluate.metrics import PROPERTIES, Absent, Metric, known
from experiments.evaluate.properties import Evidence
from experiments.evaluate.rules import Verdict
from experiments.runs import files
from experiments.runs.codec import as_json, decode
from experiments.runs.ledger import Ledger
from probes.stats.intervals import Estimate, newcombe

SCHEMA = "gatescope.scorecard/1"
FILE = "scorecard.json"
_ESTIMATE = {
    "type": "object",
    "required": ["value", "low", "high", "n", "level", "method"],
    "properties": {
        **{name: {"type": "number"} for name in ("value", "low", "high", "level")},
        "n": {"type": "integer", "minimum": 1},
        "method": {"type": "string"},
    },
}
_METRIC = {
    "type": "object",
    "required": ["name", "property", "estimate", "null", "better", "about"],
    "properties": {
        "name": {"type": "string"},
        "property": {"enum": list(PROPERTIES)},
        "estimate": _ESTIMATE,
        "null": {"anyOf": [_ESTIMATE, {"type": "null"}]},
        "better": {"enum": ["high", "low"]},
        "about": {"type": "string"},
    },
}
_ABSENT = {
    "type": "object",
    "required": ["name", "reason", "applies"],
    "properties": {
        "name": {"type": "string"},
        "reason": {"type": "string"},
        "applies": {"type": "boolean"},
    },
}
_VERDICT = {
    "type": "object",
    "required": ["verdict", "secure", "profile", "kind", "about", "aspects", "goals"],
    "properties": {"secure": {"type": "boolean"}, "kind": {"type": "string"}},
}
SHAPE: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": SCHEMA,
    "type": "object",
    "required": [
        "schema",
        "name",
        "scheme",
        "prompts",
        "identity",
        "metrics",
        "absent",
        "verdicts",
    ],
    "properties": {
        "schema": {"const": SCHEMA},
        "name": {"type": "string"},
        "scheme": {"type": "string"},
        "prompts": {"type": "integer", "minimum": 1},
        "identity": {"type": "object", "additionalProperties": {"type": "string"}},
        "metrics": {"type": "array", "items": _METRIC},
        "absent": {"type": "array", "items": _ABSENT},
        "verdicts": {"type": "array", "items": _VERDICT},
    },
}


@dataclass(frozen=True)
class Scorecard:
    """One mapping of one model, evaluated.

    Attributes:
        prompts: how many of the behaviour's prompts were asked.
        identity: hashes of model, trained parameters and mapping.
        absent: metrics without a number, with the reason.
        verdicts: by profile, the one that was chosen first.

    Raises:
        UserError: no verdict, a metric that is none or stands twice, or one that is another's.
    """

    name: str
    scheme: str
    prompts: int
    identity: Mapping[str, str]
    metrics: tuple[Metric, ...]
    absent: tuple[Absent, ...]
    verdicts: tuple[Verdict, ...]

    def __post_init__(self) -> None:
        expect(self.verdicts, "at least one verdict", "none", "evaluate again", "scorecard")
        for one in self.metrics:
            about, of = known(one.name), f"metric {one.name!r}"
            expect(one.better == about.better, f"better to be {about.better}", one.better, of=of)
            same = one.property == about.property
            expect(same, f"the property {about.property}", one.property, of=of)
        expect(len(self.values) == len(self.metrics), "each metric once", "one twice", of="metrics")

    @property
    def values(self) -> dict[str, Estimate]:
        """Every metric's estimate, by its name."""
        return {metric.name: metric.estimate for metric in self.metrics}


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        required: the verdict that a pipeline rests on; None if none was asked for.
        searches: what was found, by aim.
        seconds: that all stages took.
    """

    card: Scorecard
    required: Verdict | None
    evidence: Evidence
    searches: Mapping[str, Mapping[str, Any]]
    seconds: float


def scorecard_json(card: Scorecard) -> dict[str, Any]:
    """A scorecard as ``SHAPE`` says: with the schema, and every verdict in words."""
    verdicts = [{"verdict": v.word, "secure": v.secure, **as_json(v)} for v in card.verdicts]
    return {"schema": SCHEMA, **as_json(card), "verdicts": verdicts}


def read_scorecard(path: Path) -> Scorecard:
    """A scorecard's file, or that of a run directory.

    Raises:
        UserError: no such file, or no scorecard of this schema.
    """
    file = path / FILE if path.is_dir() else path
    own = path.is_dir() or (file.name == FILE and (file.parent / "manifest.json").is_file())
    data = Ledger(file.parent).json(FILE) if own else files.read_json(file)
    schema = data.get("schema") if isinstance(data, dict) else None
    wanted, got = f"a scorecard ({SCHEMA})", schema or "another file"
    expect(schema == SCHEMA, wanted, got, of=str(file))
    try:
        return decode(Scorecard, data, where="scorecard")
    except UserError as error:
        raise UserError(
            f"{file}: expected a whole scorecard, got one with a wrong or missing "
            f"field: {error}; write it again"
        ) from error


@dataclass(frozen=True)
class Difference:
    """One metric of two cards.

    Attributes:
        first, second: None where a card has no number.
        change: second minus first; independent, the intervals' halves added as squares. None
            where one is missing.
        better: whether the second is: "better", "worse", or "not told apart" where the interval of
            the change holds 0.
    """

    metric: str
    first: Estimate | None
    second: Estimate | None
    change: Estimate | None
    better: str


def differences(first: Scorecard, second: Scorecard) -> list[Difference]:
    """Every metric that either card has, in the order of the first, then of the second."""
    a, b = first.values, second.values
    return [_difference(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]


def _difference(name: str, first: Estimate | None, second: Estimate | None) -> Difference:
    if first is None or second is None:
        return Difference(name, first, second, None, "measured in one only")
    change = replace(newcombe(second, first), method="halves added as squares")
    if change.low <= 0 <= change.high or not math.isfinite(change.value):
        return Difference(name, first, second, change, "not told apart")
    better = (change.value > 0) == (known(name).better == "high")
    return Difference(name, first, second, change, "better" if better else "worse")
