"""What the zoo says of prediction."""

from dataclasses import dataclass
from typing import Any

from experiments.sweep.zoo.claim import Claimed
from probes.brittleness import Comparison, Predictor

SCHEMA = "gatescope.zoo/1"


@dataclass(frozen=True)
class Prediction:
    """What the zoo says of prediction."""

    organisms: Comparison
    prompts: Comparison
    claim: tuple[Claimed, ...]
    predictor: Predictor

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "organisms": self.organisms.to_json(),
            "prompts": self.prompts.to_json(),
            "claim": [row.to_json() for row in self.claim],
        }
