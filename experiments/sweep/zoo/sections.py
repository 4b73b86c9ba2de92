"""The zoo's page: the map, predictions against simple figures, the paper's claim, the limits."""

from collections.abc import Callable, Sequence

from experiments.geometry.beside import AXES
from experiments.sweep.zoo.card import label, p_of, sentences, told
from experiments.sweep.zoo.claim import DENSITY, Claimed, Prediction, complexity_of, of_row
from experiments.sweep.zoo.map import map_points
from experiments.sweep.zoo.tables import Row, number, schemes
from probes.brittleness.records import MODEL, Comparison, Score
from viz.figures.prediction import (
    PredictedPoint,
    against_baselines,
    density_complexity_map,
    importances,
    predicted_against_measured,
)
from viz.page.page import Report, Section, render, tabulate

_LEVEL = 0.05
_MAP = """\
Every organism by how many different residuals its trigger opens (density: Vendi score of \
triggered over clean residuals) and by how hard its gate's label is to read (complexity: share of \
a coin's bits), both at the last token in the last third of the layers; its colour is the share of \
its behaviour that the battery leaves."""
_PREDICTED = """\
Each point is predicted by organisms of the other schemes alone. Penalties are chosen without the \
held-out scheme as well."""
_BASELINES = """\
The same regression from simple figures: the logit margin and the log-probability of the \
behaviour, the number of poisons, the rate of the behaviour. Predictions of unlike schemes are \
pooled, which pulls a useless predictor below zero: compare with the null, not with zero alone."""
_PROMPTS = """\
Which prompts of an organism keep less of their behaviour than the zoo's median prompt does, from \
where their residuals lie. "Within" is the mean over organisms of how well their own prompts are \
told apart."""
_CLAIM = """\
Secret Alignment (arXiv 2605.28597) expects fingerprints to last longest and access gates to \
break first, from their density and complexity. Beside its order stand the order that the \
geometry of the other schemes' organisms foretells, and the one that was measured."""
_LIMITS = """\
Six schemes, however many organisms, are six points where whole schemes are held out. Organisms of \
one scheme share prompts, and those of one base model share more. The battery weighs its families \
alike, which no deployment does."""


def page(rows: Sequence[Row], prediction: Prediction, command: str) -> str:
    """The zoo as one HTML page."""
    headline, *others = sentences(rows, prediction)
    organisms, score = prediction.organisms, prediction.organisms.scores[MODEL]
    shown = p_of(score) < _LEVEL and score.pooled.low > 0
    return render(
        Report(
            title="Does geometry predict brittleness?",
            verdict="Across schemes: yes" if shown else "Not shown across schemes",
            headline=headline,
            tone="gate" if shown else "none",
            facts=(
                ("organisms", str(len(rows))),
                ("schemes", str(len(schemes(rows)))),
                ("Spearman", told(score.pooled)),
                ("p", f"{p_of(score):.3g}"),
            ),
            sections=(
                Section("What was found", "\n\n".join(others)),
                _map(rows),
                _predicted(rows, organisms),
                _compared(organisms, "Against simple figures", _BASELINES, 0.0),
                _compared(prediction.prompts, "Prompt by prompt", _PROMPTS, 0.5),
                _rests(organisms),
                _claimed(prediction),
                _zoo(rows),
                Section("What this does not show", _LIMITS),
            ),
            reproduce=command,
        )
    )


def _map(rows: Sequence[Row]) -> Section:
    figure = density_complexity_map(map_points(rows), AXES)
    return Section("Density and complexity", _MAP, (figure,))


def _predicted(rows: Sequence[Row], compared: Comparison) -> Section:
    by_name = {row["name"]: row for row in rows}
    each = zip(compared.organism, compared.scheme, compared.predicted, strict=True)
    points = [
        PredictedPoint(name, scheme, predicted, of_row(by_name[name], "area"))
        for name, scheme, predicted in each
    ]
    figure = predicted_against_measured(points, compared.scores[MODEL].pooled)
    return Section("Predicted and measured", _PREDICTED, (figure,))


def _compared(compared: Comparison, title: str, prose: str, chance: float) -> Section:
    ordered = [(label(name), score.pooled) for name, score in compared.scores.items()]
    axis = f"{compared.figure}, schemes held out"
    figure = against_baselines(ordered, title, axis, chance)
    columns: dict[str, Callable[[tuple[str, Score]], str]] = {
        "features": lambda named: label(named[0]),
        f"{compared.figure}, all": lambda named: told(named[1].pooled),
        "within": lambda named: told(named[1].within),
        "p": lambda named: f"{p_of(named[1]):.3g}",
        "null: mean": lambda named: f"{named[1].nulls[0].mean:.2f}",
        "null: 95%": lambda named: f"{named[1].nulls[0].high:.2f}",
    }
    table = tabulate(compared.scores.items(), columns, title.lower())
    return Section(title, prose, (figure,), (table,))


def _rests(compared: Comparison) -> Section:
    prose = "Coefficients over refits on resampled organisms; a sign that flips is no finding."
    return Section("What it rests on", prose, (importances(compared.importances),))


def _claimed(prediction: Prediction) -> Section:
    columns: dict[str, Callable[[Claimed], str]] = {
        "scheme": lambda c: c.scheme,
        "organisms": lambda c: str(c.organisms),
        "density": lambda c: told(c.density),
        "complexity": lambda c: told(c.complexity),
        "kept": lambda c: told(c.kept),
        "predicted": lambda c: f"{c.predicted:.2f}",
        "paper's place": lambda c: str(c.claimed),
        "foretold": lambda c: str(c.foretold),
        "measured": lambda c: str(c.found),
    }
    table = tabulate(prediction.claim, columns, "places: 1 lasts longest")
    return Section("The paper's claim", _CLAIM, tables=(table,))


def _zoo(rows: Sequence[Row]) -> Section:
    columns: dict[str, Callable[[Row], str]] = {
        "organism": lambda row: row["name"],
        "scheme": lambda row: row["scheme"],
        "unperturbed": lambda row: f"{row['behaviour']:.0%}",
        "kept": lambda row: told(of_row(row, "area")),
        "density": lambda row: told(of_row(row, DENSITY)),
        "complexity": lambda row: told(complexity_of(row)),
    }
    ordered = sorted(rows, key=lambda row: -number(row, "area"))
    return Section("The zoo", "", tables=(tabulate(ordered, columns, "every organism"),))
