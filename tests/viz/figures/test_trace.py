"""The figure of a trace, read back, with controls that must differ."""

import csv
import io
from dataclasses import replace

import pytest

from probes.causal.circuit import Mover, Trace, TraceStep
from probes.stats.intervals import Estimate
from viz.data import to_csv
from viz.figures.trace import trace_figure

N = 8


def share(value: float, width: float = 0.05) -> Estimate:
    return Estimate(value, value - width, value + width, N)


def head(layer: int, index: int, effect: float, reading: float, moves: bool, span: str) -> Mover:
    parts = {span: share(reading), "last": share(0.0)}
    return Mover(
        layer,
        index,
        moves,
        share(effect),
        0.01,
        share(effect / 2),
        0.02,
        parts,
        parts,
        parts,
        0.01,
        parts,
        parts,
        share(0.1),
    )


def made(span: str = "trigger") -> Trace:
    read = {span: tuple(map(share, (1.0, 0.9, 0.2))), "last": tuple(map(share, (0.0, 0.1, 0.9)))}
    heads = (head(1, 3, 0.6, 0.5, True, span), head(2, 0, 0.3, 0.0, False, span))
    writer = TraceStep("mlp_out", 2, None, share(0.4), 0.01, share(0.5))
    layer = Estimate(2.0, 2.0, 3.0, N)
    return Trace("logit gap", N, 3, 12, share(9.0), read, layer, layer, heads, (), (writer,))


def rows(figure) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(figure))))


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_spans_are_drawn_in_percent_with_their_bands_and_the_layer_where_half_moves():
    figure = trace_figure(made())
    lines = named(figure)
    assert list(lines["trigger"].y) == pytest.approx([100, 90, 20])
    assert list(lines["last"].y) == pytest.approx([0, 10, 90])
    low, high = figure.data[0], figure.data[1]
    assert list(low.y) == pytest.approx([95, 85, 15])
    assert list(high.y) == pytest.approx([105, 95, 25])
    assert high.fill == "tonexty"
    assert low.fill is None
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [2.0]
    moved = replace(made(), arrives=Estimate(1.0, 1.0, 1.0, N))
    shapes = trace_figure(moved).layout.shapes
    assert [shape.x0 for shape in shapes if shape.x0 == shape.x1] == [1.0, 2.0]


def test_movers_and_other_heads_are_told_apart_and_show_what_they_read():
    figure = trace_figure(made())
    lines = named(figure)
    assert list(lines["moves it"].x) == pytest.approx([60])
    assert list(lines["moves it"].y) == [0]
    assert list(lines["other heads"].y) == [1]
    assert lines["moves it"].marker.color != lines["other heads"].marker.color
    assert list(lines["by reading the trigger"].x) == pytest.approx([50, 0])
    assert list(figure.layout.yaxis2.ticktext) == ["1.3", "2.0"]
    assert "recovers 60.0% [55.0, 65.0], q = 0.010" in lines["moves it"].text[0]
    assert "no mover" in lines["other heads"].text[0]
    none = replace(made(), heads=tuple(replace(h, moves=False) for h in made().heads))
    assert "moves it" not in named(trace_figure(none))


def test_the_numbers_hold_all_that_is_drawn_and_the_writers():
    table = rows(trace_figure(made()))
    assert len(table) == 6 + 2 * 4 + 1
    assert table[1] == {
        "what": "carried at trigger",
        "layer": "1",
        "head": "",
        "share": "0.9",
        "low": "0.85",
        "high": "0.9500000000000001",
        "q": "",
        "n": "8",
    }
    assert [row["what"] for row in table if row["q"] == "0.01"] == [
        "mover",
        "head",
        "direct mlp_out",
    ]


def test_hostile_names_stay_text_and_an_effect_that_is_not_there_is_refused(evil):
    figure = trace_figure(replace(made(evil), metric=evil))
    assert "<script" not in str(figure.to_dict()["data"])
    assert "<script" not in figure.layout.title.subtitle.text
    assert "&lt;script&gt;" in figure.layout.title.subtitle.text
    assert "&lt;script&gt;" in named(figure)["moves it"].text[0]
    with pytest.raises(ValueError, match="trace of an effect"):
        trace_figure(replace(made(), leaves=None, arrives=None))
