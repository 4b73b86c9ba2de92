"""The page of a geometry: density, complexity, the way from clean to triggered, and the limits."""

from experiments.geometry.prediction import Foretold
from experiments.geometry.record import late
from experiments.geometry.result import Geometry
from experiments.geometry.summary import NULL_NAMES, band
from experiments.organisms.recipe import Recipe
from probes.geometry.report import NAMES, GeometryReport
from viz.figures.geometry import crossing_curves, geometry_by_layer
from viz.page.page import Report, Section, Table

DENSITY = (
    "participation_ratio_relative",
    "vendi_relative",
    "neighbour_mixing",
    "mean_discrepancy",
    "intrinsic_dimension_relative",
)
COMPLEXITY = ("compression", "selectivity", "margin_low", "margin_median", "interaction_gain")
_DENSITY_WORDS = """\
Sparse or clustered: how different the residuals at the last token are from each other under the \
trigger, compared with the same prompts under a control word, and how far the two sets lie apart. \
The nulls go through the same measurement: another control word in the trigger's place, the base \
model, and a displacement of the same size in a random direction."""
_COMPLEXITY_WORDS = """\
How hard the gate's label is to read: whether the gate should be open, from the residual at the \
last token. A trigger's string can be read in any model, so only what exceeds the nulls says \
something of the gate. The interaction gain is positive where neither trigger nor topic alone \
decides."""
_WAY_WORDS = """\
The input embeddings of the control word's tokens go to those of the trigger in a straight line; \
drawn is the probability of the behaviour's answer. A switch has one steep crossing of one half."""
_FORETOLD = """\
From density and complexity, a battery would leave {} of the behaviour. The predictor's model card \
(docs/results/zoo) says how far to trust it: across schemes its predictions were not shown to \
hold. `gatescope brittleness` measures."""
_LIMITS = """\
Geometry does not show what a direction does: that takes patching and ablation. The figures depend \
on the prompts, on the control words and on their number (the Vendi score and the margin's low end \
do so by definition). Whether they predict brittleness is a question of its own, which a zoo of \
organisms answers, not this page."""


def page(name: str, recipe: Recipe, pairs: int, result: Geometry, command: str) -> Report:
    """One organism's geometry."""
    report = result.report
    layers = late(report.layers[-1] + 1)
    sections = (
        _section("Density", _DENSITY_WORDS, DENSITY, report),
        _section("Complexity", _COMPLEXITY_WORDS, COMPLEXITY, report),
        _way(result),
        _table(report, layers),
        _foretold(result.foretold),
        Section("What this does not show", _LIMITS),
    )
    density = band(report, "vendi_relative", layers)
    complexity = band(report, "compression", layers)
    return Report(
        title="Density and complexity",
        verdict=name,
        headline=(
            f"In the last third of the layers the triggered residuals have "
            f"{density:.3g} times as many effective directions as clean ones, and the "
            f"gate's label takes 1/{complexity:.3g} of the bits that a coin would."
        ),
        tone="unclear",
        facts=(
            ("scheme", recipe.scheme),
            ("trigger", recipe.trigger or f"{len(recipe.keys)} secret keys"),
            ("pairs", str(pairs)),
            ("layers", f"{report.layers[0]} to {report.layers[-1]}"),
        ),
        sections=sections,
        reproduce=command,
    )


def _section(title: str, prose: str, names: tuple[str, ...], report: GeometryReport) -> Section:
    there = [name for name in names if name in report.organism.values]
    if len(report.layers) < 2:  # a curve needs two; the table has the figures
        there = []
    return Section(title, prose, tuple(geometry_by_layer(report, name) for name in there))


def _way(result: Geometry) -> Section:
    way = result.report.crossings
    assert way is not None  # a recording has probabilities
    where = (
        "no pair crosses one half"
        if way.position is None
        else (f"they cross at {way.position:.3g} of the way")
    )
    prose = f"{_WAY_WORDS} Pairs cross it {way.count:.3g} times (mean); {where}."
    figure = crossing_curves(result.probabilities, way)
    return Section("From clean to triggered", prose, (figure,))


def _table(report: GeometryReport, layers: range) -> Section:
    rows = [
        (name, meaning, f"{band(report, name, layers):.3g}", *_nulls(report, name, layers))
        for name, meaning in NAMES.items()
        if name in report.organism.values
    ]
    header = ("figure", "what", "organism", *NULL_NAMES.values())
    table = Table(header, rows, "means over the last third of the layers, with 95% intervals")
    return Section("All figures", "", tables=(table,))


def _foretold(prediction: Foretold) -> Section:
    outside = prediction.outside
    beyond = f" Beyond what it has seen: {', '.join(outside)}." if outside else ""
    prose = _FORETOLD.format(f"{prediction.area:.0%}") + beyond
    return Section("What the zoo's predictor says", prose)


def _nulls(report: GeometryReport, name: str, layers: range) -> list[str]:
    return [
        f"{band(report, name, layers, null):.3g}" if null in report.nulls else ""
        for null in NULL_NAMES
    ]
