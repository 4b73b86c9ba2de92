"""Estimates stand at their layers in their intervals, nulls beside them; crossings as counted."""

import math

import pytest
import torch

from circuits.errors import UserError
from probes.geometry.crossings import crossings
from probes.geometry.report import NAMES, GeometryReport, LayerGeometry
from probes.stats.intervals import Estimate
from viz.data import to_csv
from viz.figures.geometry import crossing_curves, geometry_by_layer
from viz.theme import VERMILION

LAYERS = (4, 8, 12)


def estimates(*values, spread=0.1, method="jackknife") -> tuple[Estimate, ...]:
    return tuple(Estimate(v, v - spread, v + spread, 40, method=method) for v in values)


def report(name="bits", null="clean_model", own=(0.9, 0.5, 0.2), spread=0.1, **p) -> GeometryReport:
    nulls = {null: LayerGeometry({name: estimates(1.0, 0.95, 0.9)}, {})}
    return GeometryReport(LAYERS, LayerGeometry({name: estimates(*own, spread=spread)}, p), nulls)


def line(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def bands(figure) -> list[tuple[list[float], list[float]]]:
    """(low, high) of every filled area, in the order drawn."""
    return [
        (list(low.y), list(high.y))
        for low, high in zip(figure.data, figure.data[1:], strict=False)
        if high.fill == "tonexty"
    ]


def test_each_layer_has_its_value_band_and_hover_and_the_null_is_beside_it():
    figure = geometry_by_layer(report(), "bits")
    own, null = line(figure, "own trigger"), line(figure, "clean model")
    assert (list(own.x), list(own.y)) == ([4, 8, 12], [0.9, 0.5, 0.2])
    assert (own.line.color, own.line.width > null.line.width) == (VERMILION, True)
    assert list(null.y) == [1.0, 0.95, 0.9]
    nulls, mine = bands(figure)  # the organism's lies on top
    assert mine == (pytest.approx([0.8, 0.4, 0.1]), pytest.approx([1.0, 0.6, 0.3]))
    assert nulls[1] == pytest.approx([1.1, 1.05, 1.0])
    assert (
        own.text[1] == "<b>own trigger</b> · layer 8<br>0.50 [0.40, 0.60]<br>n = 40 · 95% jackknife"
    )
    assert "own trigger,8,0.5,0.4,0.6,,40,jackknife" in to_csv(figure)
    assert "clean model,12,0.9," in to_csv(figure)
    assert (
        figure.layout.title.text == "Prequential code length of the gate's label, bits per "
        "label, by layer"
    )


def test_a_test_of_the_organism_is_told_and_not_ascribed_to_its_null():
    figure = geometry_by_layer(report("selectivity", selectivity=(0.5, 0.02, 0.002)), "selectivity")
    assert line(figure, "own trigger").text[2].endswith("<br>p = 0.002")
    assert "p =" not in line(figure, "clean model").text[2]


def test_every_name_has_a_title_that_stands_alone():
    for name in NAMES:
        title = geometry_by_layer(report(name), name).layout.title.text
        assert "same" not in title
        assert title[0] == title[0].upper()


def test_the_value_of_nothing_to_see_is_drawn_in_its_unit_and_in_the_frame():
    for name, at in (("neighbour_mixing", 0.5), ("bits", 1.0), ("mean_discrepancy", 0.0)):
        figure = geometry_by_layer(report(name), name)
        assert list(figure.data[0].y) == [at, at]
        low, high = figure.layout.yaxis.range
        assert low < at < high
    assert all(
        len(set(t.y)) > 1
        for t in geometry_by_layer(report("intrinsic_dimension"), "intrinsic_dimension").data
    )


def test_ratios_far_apart_are_on_a_log_scale_and_others_are_not():
    name = "participation_ratio_relative"
    far = geometry_by_layer(report(name, own=(1.0, 0.5, 0.15), spread=0.05), name)
    assert far.layout.yaxis.type == "log"
    low, high = far.layout.yaxis.range
    assert low < math.log10(0.1) < math.log10(1.1) < high
    near = geometry_by_layer(report(name, own=(1.0, 0.9, 0.8)), name)
    assert near.layout.yaxis.type is None
    assert geometry_by_layer(report("bits", own=(1.0, 0.5, 0.1)), "bits").layout.yaxis.type is None


@pytest.mark.parametrize("high", [1e6, math.inf])
def test_an_interval_without_end_neither_flattens_the_curves_nor_is_hidden(high):
    values = (Estimate(20, 1e-9, high, 40), *estimates(15, 2))
    wild = GeometryReport(LAYERS, LayerGeometry({"participation_ratio": values}, {}), {})
    figure = geometry_by_layer(wild, "participation_ratio")
    assert all(math.isfinite(v) for low, top in bands(figure) for v in (*low, *top))
    top = figure.layout.yaxis.range[1]
    assert 10**top < 200
    assert bands(figure)[0][1][0] > 10**top  # it leaves the frame
    assert f"{high:.2f}]" in line(figure, "own trigger").text[0]
    assert "beyond the frame" in figure.layout.title.subtitle.text
    for usual in (0.1, 5.0):  # intervals that are all wide are shown whole
        own = estimates(0.9, 0.5, 0.2, spread=usual)
        calm = geometry_by_layer(
            GeometryReport(LAYERS, LayerGeometry({"bits": own}, {}), {}), "bits"
        )
        assert "beyond the frame" not in calm.layout.title.subtitle.text
        assert calm.layout.yaxis.range[0] < 0.2 - usual


def test_what_was_not_measured_is_told():
    with pytest.raises(UserError, match="got 'compression'"):
        geometry_by_layer(report(), "compression")
    single = GeometryReport((4,), LayerGeometry({"bits": estimates(0.5)}, {}), {})
    with pytest.raises(UserError, match="at least 2, got 1"):
        geometry_by_layer(single, "bits")


def test_names_of_nulls_and_methods_are_text(evil):
    nulls = {evil: LayerGeometry({"bits": estimates(1, 1, 1, method=evil)}, {})}
    own = LayerGeometry({"bits": estimates(0.9, 0.5, 0.2)}, {})
    shown = geometry_by_layer(GeometryReport(LAYERS, own, nulls), "bits")
    texts = [text for t in shown.data for text in (t.name, *(t.text or ())) if text]
    assert sum("&lt;script&gt;" in text for text in texts) == 4
    assert "<script" not in "".join(texts)


def steps(*places: float) -> torch.Tensor:
    """Pairs that switch at these places, on eleven steps."""
    x = torch.linspace(0, 1, 11)
    return torch.stack([(x > place).double() for place in places])


def test_the_mean_goes_through_the_pairs_and_the_diamond_stands_at_the_first_crossing():
    p = steps(0.35, 0.55)
    found = crossings(p)
    figure = crossing_curves(p, found)
    mean, first = line(figure, "mean"), line(figure, "first crossing")
    assert list(mean.x) == pytest.approx([i / 10 for i in range(11)])
    assert list(mean.y) == [0, 0, 0, 0, 0.5, 0.5, 1, 1, 1, 1, 1]
    pairs = next(t for t in figure.data if None in t.x)
    assert list(pairs.y).count(1.0) == 7 + 5
    assert list(pairs.y).count(None) == 2  # a gap after each pair
    assert (first.x[0], first.y[0]) == (pytest.approx(0.45), 0.5)
    assert first.error_x.array[0] == pytest.approx(found.position.high - 0.45)
    assert "crossings per pair 1.00 [1.00, 1.00] (n=2)" in first.text[0]
    assert "n = 2 pairs" in mean.text[0]
    assert "mean,0.4,0.5,0.0,1.0,2" in to_csv(figure)
    assert "\n1,0.5,0.0,," in to_csv(figure)


def test_without_a_crossing_there_is_no_diamond():
    p = torch.full((3, 5), 0.2)
    names = [t.name for t in crossing_curves(p, crossings(p)).data]
    assert "mean" in names
    assert "first crossing" not in names


def test_crossings_of_other_probabilities_are_not_drawn():
    found = crossings(steps(0.35, 0.55))
    with pytest.raises(UserError, match="got 3 pairs and 11 steps"):
        crossing_curves(steps(0.1, 0.2, 0.3), found)
    with pytest.raises(UserError, match="got 2 pairs and 6 steps"):
        crossing_curves(steps(0.35, 0.55)[:, ::2], found)
