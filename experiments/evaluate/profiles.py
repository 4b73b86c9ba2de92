"""Profiles: what is demanded of each metric, by what the mapping is for.

A profile is a YAML file: its ``kind`` says which rules make the verdict (``rules.RULES``),
``thresholds`` what is demanded, and ``goals`` what is wished for without being a matter of security
(cost). A threshold is text, such as ``at least 0.9``; the way must be the metric's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from circuits.errors import UserError, expect, quoted
from experiments.evaluate.metrics import known
from experiments.runs.documents import read_yaml
from probes.stats.intervals import Estimate

Kind = Literal["access", "ownership", "safety"]
Relation = Literal["at least", "at most"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_SHIPPED = Path(__file__).parents[1] / "data" / "profiles"
_FIELDS = {"name", "kind", "about", "thresholds", "goals"}
_RELATIONS: dict[str, Relation] = {"high": "at least", "low": "at most"}


@dataclass(frozen=True)
class Threshold:
    """What is demanded of a metric: its interval's worse end keeps to the bound."""

    metric: str
    relation: Relation
    bound: float

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"

    def keeps(self, value: float) -> bool:
        """Whether a value keeps to the bound."""
        return value >= self.bound if self.relation == "at least" else value <= self.bound

    def worse(self, estimate: Estimate) -> float:
        """The end of an interval that is nearer to breaking the bound."""
        return estimate.low if self.relation == "at least" else estimate.high


@dataclass(frozen=True)
class Profile:
    """Thresholds for one use of a mapping.

    Attributes:
        thresholds: on which the verdict rests.
        goals: shown and judged, but no part of the verdict.
    """

    name: str
    kind: Kind
    about: str
    thresholds: tuple[Threshold, ...]
    goals: tuple[Threshold, ...] = ()


def read_profile(name: str) -> Profile:
    """A shipped profile by name, or a YAML file.

    Raises:
        UserError: no such file, no YAML, or a field, metric or threshold that is not one.
    """
    path = _SHIPPED / f"{name}.yaml" if name in KINDS else Path(name)
    if not path.is_file():
        raise UserError(f"profile {name}: expected one of {', '.join(KINDS)} or a YAML file")
    where = f"profile {name}"
    return _profile(read_yaml(path, where), where)


def _profile(value: Any, where: str) -> Profile:
    expect(
        isinstance(value, dict) and {"kind", "thresholds"} <= set(value) <= _FIELDS,
        f"kind and thresholds (and {', '.join(sorted(_FIELDS))})",
        sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__,
        of=where,
    )
    kind = value["kind"]
    expect(kind in KINDS, f"a kind of {', '.join(KINDS)}", quoted(kind), of=where)
    demanded = _thresholds(value["thresholds"], f"{where}, thresholds")
    expect(demanded, "at least one threshold", "none", "state one", of=where)
    goals = _thresholds(value.get("goals") or {}, f"{where}, goals")
    name, about = str(value.get("name") or kind), str(value.get("about") or "")
    return Profile(name, kind, about.strip(), demanded, goals)


def _thresholds(value: Any, where: str) -> tuple[Threshold, ...]:
    expect(isinstance(value, Mapping), "'metric: at least X' lines", quoted(value), of=where)
    return tuple(_threshold(str(name), text, where) for name, text in value.items())


def _threshold(name: str, text: Any, where: str) -> Threshold:
    relation = _RELATIONS[known(name).better]
    words = str(text).split()
    try:
        bound = float(words[2]) if len(words) == 3 and words[:2] == relation.split() else None
    except ValueError:
        bound = None
    if bound is None or bound != bound:
        raise UserError(f"{where}: expected '{name}: {relation} NUMBER', got {quoted(text)}")
    return Threshold(name, relation, bound)
