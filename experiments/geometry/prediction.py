"""What the shipped predictor makes of a geometry: the share of its behaviour a battery would leave.

The predictor is a zoo's (``docs/results/zoo/MODEL_CARD.md``): across schemes its predictions are
not shown to hold, so a figure from here is a note beside a geometry, and no finding.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments.geometry.summary import WAY, late_band
from experiments.runs import files
from experiments.runs.codec import decode
from probes.brittleness.predictor import Predictor
from probes.geometry.report import GeometryReport

_FILE = Path(__file__).parents[1] / "data" / "brittleness-predictor.json"


@dataclass(frozen=True)
class Prediction:
    """A predicted area of retention.

    Attributes:
        area: 0 to 1.
        outside: features beyond what the predictor has seen.
    """

    area: float
    outside: tuple[str, ...]


def predict(report: GeometryReport) -> Prediction:
    """What the shipped predictor says of a geometry; what was not measured counts as its mean."""
    known = features(report)
    given = {name: known.get(name, math.nan) for name in predictor().names}
    return Prediction(predictor().predict(given), predictor().outside(given))


def features(report: GeometryReport) -> dict[str, float]:
    """A geometry's figures under the zoo's names: means of the late layers, and the way there."""
    names, way = report.organism.values, report.crossings
    means = {f"geo:{name}": late_band(report, name).value for name in names}
    if way is not None:
        for name in WAY:
            estimate = getattr(way, name)
            means[f"way:{name}"] = math.nan if estimate is None else estimate.value
    return means


@cache
def predictor() -> Predictor:
    """The shipped predictor."""
    return decode(Predictor, files.read_json(_FILE))
