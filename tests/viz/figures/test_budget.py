"""Where counts, rates, bands and thresholds are drawn, and what is drawn beyond the range."""

import math

import pytest
from budgets import named

from probes.budget.cells import Cells
from probes.budget.threshold import fit_threshold
from viz.data import to_csv
from viz.figures.budget import BudgetSeries, rate_by_count

COUNTS = (0, 10, 100, 1000)


def cells(*shares, n=20, seeds=2) -> Cells:
    rows = [
        (c, round(r * n), n, s) for s in range(seeds) for c, r in zip(COUNTS, shares, strict=True)
    ]
    return Cells.of(*zip(*rows, strict=True))


def series(name, *shares) -> BudgetSeries:
    measured = cells(*shares)
    return BudgetSeries(name, measured, fit_threshold(measured, resamples=50))


def test_counts_stand_at_their_logarithm_and_zero_apart_from_them():
    figure = rate_by_count([series("a", 0.0, 0.1, 0.5, 0.9)])
    points = next(t for t in figure.data if t.name == "a")
    assert points.x[1:] == pytest.approx([1, 2, 3])
    assert points.x[0] < figure.layout.shapes[0].x0 < 1
    assert points.y == pytest.approx([0, 10, 50, 90])
    low, high = points.error_y.arrayminus[2], points.error_y.array[2]
    assert (low, high) == pytest.approx((14.8, 14.8), abs=0.1)  # Wilson, 20 of 40
    assert list(figure.layout.xaxis.ticktext) == ["0", "10", "100", "1000"]
    without = rate_by_count([BudgetSeries("a", Cells.of([10, 20], [1, 2], [4, 4], [0, 0]))])
    assert not without.layout.shapes


def test_the_threshold_is_marked_where_the_fitted_curve_is_at_half():
    one = series("a", 0.0, 0.1, 0.5, 0.9)
    figure = rate_by_count([one])
    assert one.fit is not None
    [(x, y)] = named(figure, "diamond")
    assert (x, y) == (pytest.approx(math.log10(one.fit.threshold.value)), 50)
    curve = [t for t in figure.data if t.mode == "lines" and len(t.x) == 61][-1]
    nearest = min(zip(curve.x, curve.y, strict=True), key=lambda p: abs(p[0] - x))
    assert nearest[1] == pytest.approx(50, abs=2)


def test_a_threshold_beyond_the_counts_is_an_arrow_and_no_diamond():
    never = rate_by_count([series("a", 0, 0, 0, 0)])
    assert named(never, "diamond") == []
    [(x, _)] = named(never, "triangle-right")
    assert x == pytest.approx(3)
    always = rate_by_count([series("a", 0, 1, 1, 1)])
    assert [x for x, _ in named(always, "triangle-left")] == pytest.approx([1])
    assert any("more than 1000 poisons" in text for t in never.data if t.text for text in t.text)


def test_thresholds_of_several_sizes_do_not_lie_on_each_other():
    both = rate_by_count([series("a", 0, 0.1, 0.5, 0.9), series("b", 0, 0.1, 0.5, 0.9)])
    (_, first), (_, second) = named(both, "diamond")
    assert first != second
    shades = {t.marker.color for t in both.data if t.name in ("a", "b")}
    symbols = {t.marker.symbol for t in both.data if t.name in ("a", "b")}
    assert (len(shades), len(symbols)) == (2, 2)
    lines = to_csv(both).splitlines()
    assert len(lines) == 1 + 2 * (8 + 4)
    assert lines[1] == "a,0,0,0,20,0.0,,"


def test_names_are_text_and_unusable_series_are_told(evil):
    shown = rate_by_count([series(evil, 0, 0.1, 0.5, 0.9)])
    texts = [t.name for t in shown.data if t.showlegend is not False]
    texts += [text for t in shown.data if t.text for text in t.text]
    assert texts
    assert "<script" not in str(texts)
    with pytest.raises(ValueError, match="series of different names"):
        rate_by_count([])
    with pytest.raises(ValueError, match="with poisons"):
        rate_by_count([BudgetSeries("a", Cells.of([0], [0], [4], [0]))])
