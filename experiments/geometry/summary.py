"""A geometry in few numbers: means over a band of layers."""

from collections.abc import Sequence

from experiments.geometry.record import late
from probes.geometry.report import GeometryReport
from probes.stats.intervals import Estimate

DENSITY = (
    "participation_ratio_relative",
    "vendi_relative",
    "neighbour_mixing",
    "mean_discrepancy",
    "intrinsic_dimension_relative",
)
COMPLEXITY = ("compression", "selectivity", "margin_low", "margin_median", "interaction_gain")
WAY = ("count", "position", "width")  # of the crossings from clean to triggered
NULL_NAMES = {
    "untrained_trigger": "untrained trigger",
    "clean_model": "base model",
    "random_direction": "random direction",
}


def band(
    report: GeometryReport, name: str, layers: Sequence[int], null: str | None = None
) -> Estimate:
    """Mean over layers of an estimate and of its ends (as if layers erred together)."""
    each = [report.at(name, layer, null or "") for layer in layers]
    value, low, high = (
        sum(getattr(e, end) for e in each) / len(each) for end in ("value", "low", "high")
    )
    method = f"mean of {len(each)} layers: {each[0].method}"
    return Estimate(value, low, high, each[0].n, each[0].level, method)


def late_band(report: GeometryReport, name: str, null: str | None = None) -> Estimate:
    """``band`` of the last third of the layers, as far as they were measured."""
    layers = [layer for layer in late(report.layers[-1] + 1) if layer in report.layers]
    return band(report, name, layers, null)
