"""Every threshold has its row, its interval, and an arrow where it lies beyond the counts."""

import math

import pytest
from budgets import named

from probes.budget.cells import CensoredEstimate
from viz.data import to_csv
from viz.figures.thresholds import ThresholdRow, threshold_forest


def rows() -> list[ThresholdRow]:
    inside = CensoredEstimate(30, 20, 50, 3)
    above = CensoredEstimate(200, 150, 200, 3, beyond="above", high_open=True)
    edge = CensoredEstimate(150, 100, 200, 3, high_open=True)
    return [
        ThresholdRow("m", "100", inside),
        ThresholdRow("m", "400", above),
        ThresholdRow("w", "100", edge),
    ]


def test_the_forest_has_a_row_for_each_threshold_with_its_interval():
    figure = threshold_forest(rows())
    small = next(t for t in figure.data if t.name == "100")
    assert (list(small.x), list(small.y)) == ([30, 150], [0, 2])
    assert list(small.error_x.array) == [20, 50]
    assert list(small.error_x.arrayminus) == [10, 50]
    assert named(figure, "triangle-right-open") == [(200, 1)]
    assert named(figure, "triangle-right") == [(200, 2)]  # an open end of a threshold in range
    assert [text.split("<br>") for text in figure.layout.yaxis.ticktext][1] == ["m", "400"]
    low, high = figure.layout.xaxis.range
    assert low < math.log10(20) < math.log10(200) < high
    assert "m,400,200,150,200,above,False,True,3" in to_csv(figure)


def test_names_are_text_and_unusable_rows_are_told(evil):
    forest = threshold_forest([ThresholdRow(evil, evil, CensoredEstimate(30, 20, 50, 3))])
    texts = [t.name for t in forest.data if t.showlegend is not False]
    texts += [text for t in forest.data if t.text for text in t.text]
    assert texts
    assert "<script" not in str(texts) + str(forest.to_dict()["layout"]["yaxis"])
    with pytest.raises(ValueError, match="one row per model and size"):
        threshold_forest(rows()[:1] * 2)
