"""The result of a geometry."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from experiments.geometry.prediction import Prediction
from probes.geometry.report import GeometryReport

SCHEMA = "gatescope.geometry/1"
ACTIVATIONS = "activations.safetensors"


@dataclass(frozen=True, eq=False)
class Geometry:
    """Density and complexity, and what the zoo's predictor makes of them.

    Attributes:
        probabilities: of the behaviour on the way from clean to triggered; among the activations.
    """

    report: GeometryReport
    foretold: Prediction
    probabilities: Float[Tensor, "k steps"]
