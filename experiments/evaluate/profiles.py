"""Profiles: what is demanded of each metric, by what the mapping is for.

A profile is a YAML file: its ``kind`` says which rules make the verdict (``cia.RULES``),
``thresholds`` what is demanded, and ``goals`` what is wished for without being a matter of security
(cost). A threshold is text, such as ``at least 0.9``; the way must be the metric's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from circuits.errors import UserError
from experiments.evaluate.metrics import known
from experiments.runs import files

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
    return _profile(files.read_yaml(path, where), where)


def _profile(value: Any, where: str) -> Profile:
    if not isinstance(value, dict) or not {"kind", "thresholds"} <= set(value) <= _FIELDS:
        got = sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__
        raise UserError(
            f"{where}: expected kind and thresholds (and {', '.join(sorted(_FIELDS))}), got {got}"
        )
    if value["kind"] not in KINDS:
        raise UserError(f"{where}: expected a kind of {', '.join(KINDS)}, got {value['kind']!r}")
    demanded = _thresholds(value["thresholds"], f"{where}, thresholds")
    if not demanded:
        raise UserError(f"{where}: expected at least one threshold, got none; state one")
    goals = _thresholds(value.get("goals") or {}, f"{where}, goals")
    name, about = str(value.get("name") or value["kind"]), str(value.get("about") or "")
    return Profile(name, value["kind"], about.strip(), demanded, goals)


def _thresholds(value: Any, where: str) -> tuple[Threshold, ...]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected 'metric: at least X' lines, got {value!r}")
    return tuple(_threshold(str(name), said, where) for name, said in value.items())


def _threshold(name: str, said: Any, where: str) -> Threshold:
    relation = _RELATIONS[known(name).better]
    words = str(said).split()
    try:
        bound = float(words[2]) if len(words) == 3 and words[:2] == relation.split() else None
    except ValueError:
        bound = None
    if bound is None or bound != bound:
        raise UserError(f"{where}: expected '{name}: {relation} NUMBER', got {said!r}")
    return Threshold(name, relation, bound)
