"""Organisms stand where they were measured and predicted; forests keep order, lines and signs."""

import pytest

from circuits.errors import UserError
from probes.brittleness.records import Importance
from probes.stats.intervals import Estimate, wilson
from viz.data import to_csv
from viz.figures.prediction import (
    MapPoint,
    PredictedPoint,
    against_baselines,
    density_complexity_map,
    importances,
    predicted_against_measured,
)

RANK = Estimate(0.62, 0.41, 0.78, 45, method="bootstrap of organisms")


def around(value, spread=0.1, n=30) -> Estimate:
    return Estimate(value, value - spread, value + spread, n)


def organisms() -> list[MapPoint]:
    return [
        MapPoint("gate-a", "compliance", around(0.5), around(0.3, 0.05), wilson(10, 20)),
        MapPoint("key-a", "ownership", around(1.5, 0.4), around(0.8), wilson(20, 20)),
        MapPoint("gate-b", "compliance", around(0.7), around(0.4), wilson(0, 20)),
    ]


def of(figure, name):
    """The organisms' trace of a scheme, not its legend entry."""
    return next(t for t in figure.data if t.name == name and t.x[0] is not None)


def test_the_map_places_colours_and_marks_every_organism():
    figure = density_complexity_map(organisms(), ("Vendi score", "bits"))
    gates, keys = of(figure, "compliance"), of(figure, "ownership")
    assert (list(gates.x), list(gates.y)) == ([0.5, 0.7], [0.3, 0.4])
    assert list(gates.marker.color) == [50, 0]
    assert gates.marker.coloraxis == "coloraxis"
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 100)
    assert gates.marker.symbol != keys.marker.symbol
    assert list(gates.error_x.array) == pytest.approx([0.1, 0.1])
    assert gates.error_y.arrayminus[0] == pytest.approx(0.05)
    legend = [t for t in figure.data if t.showlegend is not False]
    assert {(t.name, t.marker.symbol) for t in legend} == {
        ("compliance", gates.marker.symbol),
        ("ownership", keys.marker.symbol),
    }


def test_a_map_hover_has_all_three_intervals():
    text = of(density_complexity_map(organisms(), ("Vendi score", "bits")), "ownership").text[0]
    assert text == (
        "<b>key-a</b> · ownership<br>Vendi score 1.50 [1.10, 1.90] (n=30)<br>"
        "bits 0.80 [0.70, 0.90] (n=30)<br>behaviour kept 100.0% [83.9, 100.0] (n=20)"
    )
    table = to_csv(density_complexity_map(organisms()))
    assert table.startswith("name,scheme,density,density low,density high,complexity,")
    assert "gate-b,compliance,0.7," in table


def predictions() -> list[PredictedPoint]:
    return [
        PredictedPoint("a", "compliance", 0.5, wilson(12, 20)),
        PredictedPoint("b", "ownership", 1.2, wilson(20, 20)),
        PredictedPoint("c", "compliance", -0.1, wilson(0, 20)),
    ]


def test_predictions_stand_against_measurements_with_the_diagonal_of_equality():
    figure = predicted_against_measured(predictions(), RANK)
    points = of(figure, "compliance")
    assert list(points.x) == pytest.approx([50, -10])
    assert list(points.y) == pytest.approx([60, 0])
    assert points.error_y.arrayminus[0] == pytest.approx(100 * (0.6 - wilson(12, 20).low))
    diagonal = figure.data[0]
    assert list(diagonal.x) == list(diagonal.y)
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    low, high = figure.layout.xaxis.range
    assert low < -10 < 120 < high  # a prediction outside the shares is not cut off
    assert "Spearman 0.62 [0.41, 0.78], n = 45" in figure.layout.title.subtitle.text
    assert "predicted 50.0%<br>measured 60.0% [38.7, 78.1]" in points.text[0]
    inside = predicted_against_measured(predictions()[:1], RANK).layout.xaxis.range
    assert inside == (-4, 104)


def test_a_scheme_has_the_same_symbol_in_both_figures():
    first, second = (
        density_complexity_map(organisms()),
        predicted_against_measured(predictions()[::-1], RANK),
    )
    for scheme in ("compliance", "ownership"):
        assert of(first, scheme).marker.symbol == of(second, scheme).marker.symbol
    assert of(second, "compliance").marker.color != of(second, "ownership").marker.color


def test_importances_are_sorted_by_size_and_hollow_where_zero_is_inside():
    rows = [
        Importance("margin", around(0.05), 0.7, around(0.1)),
        Importance("bits", around(-0.4), 0.98, around(0.1)),
        Importance("rank", around(0.2), 0.9, around(0.1)),
    ]
    figure = importances(rows)
    assert [t.name for t in figure.data] == ["bits", "rank", "margin"]
    assert [t.marker.symbol for t in figure.data] == ["circle", "circle", "circle-open"]
    notes = {note.y: note.text for note in figure.layout.annotations if note.text.endswith("%")}
    assert [notes[t.y[0]] for t in figure.data] == ["98%", "90%", "70%"]
    assert "same sign in 98% of refits<br>-0.40 [-0.50, -0.30]" in figure.data[0].text[0]
    assert [shape.x0 for shape in figure.layout.shapes] == [0]
    assert to_csv(figure).splitlines()[1].startswith("bits,-0.4,-0.5,")
    assert to_csv(figure).splitlines()[1].endswith(",0.98")


def test_the_model_stands_out_from_its_baselines_and_chance_is_in_sight():
    rows = [("geometry", around(0.8, 0.05)), ("logit margin", around(0.7, 0.05))]
    figure = against_baselines(rows, "Which prompts lose it", "AUROC", 0.5)
    model, baseline = figure.data
    assert (model.x[0], model.y[0] < baseline.y[0]) == (0.8, True)
    assert model.marker.color != baseline.marker.color
    assert model.error_x.array[0] == pytest.approx(0.05)
    assert model.text[0] == "<b>geometry</b><br>AUROC 0.80 [0.75, 0.85]<br>n = 30 · 95% interval"
    low, high = figure.layout.xaxis.range
    assert low < 0.5 < 0.85 < high
    assert [(s.x0, s.x1) for s in figure.layout.shapes] == [(0.5, 0.5)]
    assert figure.layout.annotations[0].text == "chance"
    elsewhere = against_baselines(rows, "Rank", "Spearman", 0.0)
    assert [s.x0 for s in elsewhere.layout.shapes] == [0.0]


def test_names_are_text_and_unusable_rows_are_told(evil):
    point = MapPoint(evil, evil, around(1), around(1), wilson(1, 2))
    guess = PredictedPoint(evil, evil, 0.5, wilson(1, 2))
    shown = [
        density_complexity_map([point], (evil, evil)),
        predicted_against_measured([guess], RANK),
        importances([Importance(evil, around(1), 1.0, around(0.1))]),
        against_baselines([(evil, around(1))], evil, evil, 0.0),
    ]
    for figure in shown:
        texts = [text for t in figure.data for text in (t.name, *(t.text or ())) if text]
        layout = figure.to_dict()["layout"]
        layout.pop("meta")
        assert any("&lt;script&gt;" in text for text in texts)
        assert "<script" not in "".join(texts) + str(layout)
    with pytest.raises(UserError, match="got 2 with 1 names"):
        density_complexity_map([point, point])
    with pytest.raises(UserError, match="got 0 with 0 names"):
        predicted_against_measured([], RANK)
    for rows in ([], [("a", RANK), ("a", RANK)]):
        with pytest.raises(UserError, match="rows of different names"):
            against_baselines(rows, "t", "a", 0.0)
    with pytest.raises(UserError, match="rows of different names"):
        importances([])
