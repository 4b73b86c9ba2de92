"""The paper's claim as a table: three schemes by density and complexity, in what order they break.

Secret Alignment (arXiv 2605.28597) argues in words that fingerprints are sparse, simple and
lasting, that safety triggers lie between, and that access gates, which decide twice, break first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from experiments.sweep.zoo.tables import Row, number, of_scheme
from probes.brittleness.predictor import Predictor
from probes.brittleness.records import Comparison
from probes.stats.intervals import Estimate

ORDER = ("ownership", "safety", "access")  # from what lasts to what breaks, as the paper has it
DENSITY, COMPLEXITY = "geo:vendi_relative", "geo:compression"


@dataclass(frozen=True)
class Claimed:
    """One scheme: means over its organisms; ends of intervals are means of theirs.

    Attributes:
        density: effective number of triggered residuals over clean ones (Vendi).
        complexity: bits per label of the gate's code, uniform over prequential, inverted: the share
            of a coin's bits that the label takes.
        kept: area of retention.
        predicted: the same, predicted by organisms of other schemes.
        claimed, foretold, found: place in the order, 1 lasts longest: the paper's, the
            prediction's, the measurement's.
    """

    scheme: str
    organisms: int
    density: Estimate
    complexity: Estimate
    kept: Estimate
    predicted: float
    claimed: int
    foretold: int
    found: int


@dataclass(frozen=True)
class Prediction:
    """What the zoo says of prediction."""

    organisms: Comparison
    prompts: Comparison
    claim: tuple[Claimed, ...]
    predictor: Predictor


def claim(rows: Sequence[Row], compared: Comparison) -> list[Claimed]:
    """The schemes of the claim that the zoo has, in the paper's order."""
    there = [scheme for scheme in ORDER if of_scheme(rows, scheme)]
    kept = {scheme: mean_of(of_scheme(rows, scheme), "area") for scheme in there}
    predicted = {scheme: _predicted(compared, scheme) for scheme in there}
    foretold = sorted(there, key=lambda s: -predicted[s])
    lasting = sorted(there, key=lambda s: -kept[s].value)
    return [
        Claimed(
            scheme,
            len(of_scheme(rows, scheme)),
            mean_of(of_scheme(rows, scheme), DENSITY),
            1 / mean_of(of_scheme(rows, scheme), COMPLEXITY),
            kept[scheme],
            predicted[scheme],
            there.index(scheme) + 1,
            foretold.index(scheme) + 1,
            lasting.index(scheme) + 1,
        )
        for scheme in there
    ]


def _predicted(compared: Comparison, scheme: str) -> float:
    """Mean prediction of a scheme's organisms, made without them."""
    pairs = zip(compared.scheme, compared.predicted, strict=True)
    return mean(value for name, value in pairs if name == scheme)


def mean_of(rows: Sequence[Row], name: str) -> Estimate:
    """Mean over organisms of a figure and of its interval's ends; n counts organisms."""
    value, low, high = (mean(number(row, end) for row in rows) for end in _ends(name))
    return Estimate(value, low, high, len(rows), method="mean of organisms and of their ends")


def of_row(row: Row, name: str) -> Estimate:
    """One organism's figure with its interval."""
    value, low, high = (number(row, end) for end in _ends(name))
    of_prompts = name.startswith("area")
    counted = "prompts" if of_prompts else "pairs; mean of the late layers"
    n = row["prompts"] if of_prompts else row["pairs"]
    return Estimate(value, low, high, int(n), method=f"n counts {counted}")


def complexity_of(row: Row) -> Estimate:
    """Share of a coin's bits that the gate's label takes (1: as hard as a coin)."""
    return 1 / of_row(row, COMPLEXITY)


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}:low", f"{name}:high"
