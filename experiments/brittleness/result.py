"""The result of a battery."""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.battery.battery import Answers
from probes.brittleness.retention import Retention

SCHEMA = "gatescope.brittleness/1"


@dataclass(frozen=True)
class Brittleness:
    """What is left of the behaviour, and every ladder's answers."""

    retention: Retention
    ladders: Mapping[str, list[Answers]]
