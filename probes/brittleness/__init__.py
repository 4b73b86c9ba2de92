"""Brittleness predicted from geometry, tested on whole schemes held out: the front door.

- ``table``: rows of features, a target, an organism and a scheme;
- ``learners``, ``nested``: ridge and logistic fits; penalties and scales chosen without the
  held-out scheme;
- ``figures``, ``shuffles``: how good the predictions are, and what nothing would give;
- ``compare``, ``scoring``, ``importance``, ``records``: features against baselines, with intervals
  and nulls;
- ``predictor``: the fit on everything, for organisms that come later.
"""

from probes.brittleness.compare import Effort, compare_organisms, compare_prompts
from probes.brittleness.predictor import Predictor, fit_predictor
from probes.brittleness.records import (
    ALL_BASELINES,
    BOTH,
    MODEL,
    NULLS,
    Comparison,
    Difference,
    Importance,
    Null,
    Score,
)
from probes.brittleness.table import Table

__all__ = [
    "ALL_BASELINES",
    "BOTH",
    "MODEL",
    "NULLS",
    "Comparison",
    "Difference",
    "Effort",
    "Importance",
    "Null",
    "Predictor",
    "Score",
    "Table",
    "compare_organisms",
    "compare_prompts",
    "fit_predictor",
]
