"""A geometry in few numbers: means over a band of layers."""

from collections.abc import Sequence

from probes.geometry.report import GeometryReport
from probes.stats.intervals import Estimate

NULL_NAMES = {
    "untrained_trigger": "untrained trigger",
    "clean_model": "base model",
    "random_direction": "random direction",
}


def band(
    report: GeometryReport, name: str, layers: Sequence[int], null: str | None = None
) -> Estimate:
    """Mean over layers of an estimate and of its ends (as if layers erred together)."""
    found = [report.at(name, layer, null or "") for layer in layers]
    value, low, high = (
        sum(getattr(e, end) for e in found) / len(found) for end in ("value", "low", "high")
    )
    method = f"mean of {len(found)} layers: {found[0].method}"
    return Estimate(value, low, high, found[0].n, found[0].level, method)
