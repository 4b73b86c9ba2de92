"""What the zoo says of prediction."""

from dataclasses import dataclass

from experiments.sweep.zoo.claim import Claimed
from probes.brittleness.predictor import Predictor
from probes.brittleness.records import Comparison

SCHEMA = "gatescope.zoo/1"


@dataclass(frozen=True)
class Prediction:
    """What the zoo says of prediction."""

    organisms: Comparison
    prompts: Comparison
    claim: tuple[Claimed, ...]
    predictor: Predictor
