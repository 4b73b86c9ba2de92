"""The page of a geometry: density, complexity, the way from clean to triggered, and the limits."""

from typing import Any

from experiments.geometry.prediction import Prediction
from experiments.geometry.question import GeometryQuestion
from experiments.geometry.result import Geometry
from experiments.geometry.summary import COMPLEXITY, DENSITY, NULL_NAMES, late_band
from experiments.study import Run
from probes.geometry.report import NAMES, GeometryReport
from viz.figures.geometry import crossing_curves, geometry_by_layer
from viz.page.page import Report, Section, Table

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


def page(run: Run[GeometryQuestion, Any], result: Geometry) -> Report:
    """One organism's geometry."""
    report, recipe = result.report, run.subject.organism.recipe
    density, complexity = (late_band(report, n) for n in ("vendi_relative", "compression"))
    return Report(
        title="Density and complexity",
        verdict=run.question.given.name,
        headline=(
            f"In the last third of the layers the triggered residuals have "
            f"{density:.3g} times as many effective directions as clean ones, and the "
            f"gate's label takes 1/{complexity:.3g} of the bits that a coin would."
        ),
        tone="unclear",
        facts=(
            ("scheme", recipe.scheme),
            ("trigger", recipe.trigger or f"{len(recipe.keys)} secret keys"),
            ("pairs", str(len(run.subject.design.clean))),
            ("layers", f"{report.layers[0]} to {report.layers[-1]}"),
        ),
        sections=(
            _section("Density", _DENSITY_WORDS, DENSITY, report),
            _section("Complexity", _COMPLEXITY_WORDS, COMPLEXITY, report),
            _way(result),
            _table(report),
            _predicted(result.foretold),
            Section("What this does not show", _LIMITS),
        ),
        reproduce=run.command,
    )


def _section(title: str, prose: str, names: tuple[str, ...], report: GeometryReport) -> Section:
    # A curve needs two layers; the table has the figures.
    drawn = [n for n in names if n in report.organism.values] if len(report.layers) > 1 else []
    return Section(title, prose, tuple(geometry_by_layer(report, name) for name in drawn))


def _way(result: Geometry) -> Section:
    way = result.report.crossings
    assert way is not None  # a recording has probabilities
    where = (
        "no pair crosses one half"
        if way.position is None
        else f"they cross at {way.position:.3g} of the way"
    )
    prose = f"{_WAY_WORDS} Pairs cross it {way.count:.3g} times (mean); {where}."
    return Section("From clean to triggered", prose, (crossing_curves(result.probabilities, way),))


def _table(report: GeometryReport) -> Section:
    def figure(name: str, null: str) -> str:
        return f"{late_band(report, name, null):.3g}" if not null or null in report.nulls else ""

    rows = [
        (name, meaning, *(figure(name, null) for null in ("", *NULL_NAMES)))
        for name, meaning in NAMES.items()
        if name in report.organism.values
    ]
    header = ("figure", "what", "organism", *NULL_NAMES.values())
    table = Table(header, rows, "means over the last third of the layers, with 95% intervals")
    return Section("All figures", "", tables=(table,))


def _predicted(prediction: Prediction) -> Section:
    prose = _FORETOLD.format(f"{prediction.area:.0%}")
    if prediction.outside:
        prose += f" Beyond what it has seen: {', '.join(prediction.outside)}."
    return Section("What the zoo's predictor says", prose)
