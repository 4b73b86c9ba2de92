"""What each figure claims to show, read back from the figure, with a control that must differ."""

import csv
import io
import math
import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from probes.causal.tables import grid_stats
from probes.stats.intervals import Estimate, wilson
from probes.stats.means import ratio_bounds
from viz.data import csv_text, safe_json, to_csv
from viz.figures.bars import BehaviourRow, behaviour_bars
from viz.figures.grids import cell_dots, grid_figure
from viz.figures.heatmaps import selection_heatmap
from viz.figures.nulls import null_histogram
from viz.figures.planes import arm_projections, gate_plane, gate_space
from viz.figures.probing import probe_curves
from viz.text import prompt_hover, token_label
from viz.theme import ARM_COLOURS, CONDITION_COLOURS, EDIT_COLOURS, PAPER, colour

INTERVAL = re.compile(r"-?\d+\.\d+%? \[-?\d+\.\d+, -?\d+\.\d+\]")
HOT = (3, 1)  # the cell of the shared grid that recovers the effect


def table(figure: go.Figure) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(figure))))


def test_the_recovered_cell_has_the_largest_colour_value(grid):
    heat = grid_figure(grid).data[0]
    z = np.array(heat.z, dtype=float)
    assert np.unravel_index(z.argmax(), z.shape) == HOT
    value, low, high = ratio_bounds(grid.effects, grid.full_effect)
    assert z == pytest.approx(value.numpy())
    assert f"{value[HOT]:.2f} [{low[HOT]:.2f}, {high[HOT]:.2f}]" in heat.text[HOT[0]][HOT[1]]
    elsewhere = grid.values.clone()
    elsewhere[HOT], elsewhere[0, 0] = grid.values[0, 0], grid.values[HOT]
    moved = np.array(grid_figure(replace(grid, values=elsewhere)).data[0].z, float)
    assert np.unravel_index(moved.argmax(), moved.shape) == (0, 0)


def test_heatmap_colours_are_centred_and_dots_mark_only_insignificant_cells(grid):
    figure = grid_figure(grid)
    axis = figure.layout.coloraxis
    assert axis.cmin == -axis.cmax
    dots = set(zip(figure.data[1].y, figure.data[1].x, strict=True))
    assert HOT not in dots
    assert len(dots) > 20
    for row in table(figure):
        assert ((int(row["layer"]), int(row["column"])) in dots) == (float(row["q"]) > 0.05)


def test_duplicate_and_hostile_labels_stay_separate_literal_columns(grid):
    figure = grid_figure(grid)
    axis = figure.layout.xaxis
    assert list(axis.tickvals) == list(figure.data[0].x) == [0, 1, 2, 3, 4, 5]
    assert list(axis.ticktext)[:5] == ["?", "·cobalt", "&lt;|im_end|&gt;", "⏎", "⏎"]
    assert "<script" not in str(figure.to_dict()["data"]) + str(axis.ticktext)
    assert "&lt;script&gt;" in figure.data[0].text[0][5]


def test_a_nan_cell_is_blank_and_the_others_are_as_before(grid):
    values = grid.values.clone()
    values[0, 0, 3] = math.nan
    values[1, 0, 3] = math.inf
    figure = grid_figure(replace(grid, values=values))
    heat, whole = figure.data[0], grid_figure(grid).data[0]
    assert heat.z[0][0] is None
    assert heat.z[1][0] is None
    assert heat.text[0][0] == ""
    veil = figure.data[2]
    assert "undefined: no common span in 1 of 16 pairs" in veil.text[0][0]
    assert [row[0] for row in veil.z] == [0.0, 0.0, None, None, None, None]
    assert "hatched" in figure.layout.title.subtitle.text
    assert len(grid_figure(grid).data) == 2
    assert heat.z[3][1] == pytest.approx(whole.z[3][1])
    assert "NaN" not in safe_json(figure.to_dict())
    assert "Infinity" not in safe_json({"a": math.inf})
    assert table(figure)[0]["recovery"] == ""


def test_without_a_full_effect_the_metric_is_the_scale(grid):
    figure = grid_figure(replace(grid, source=grid.base))
    effects = grid.effects.mean(dim=-1)
    assert np.array(figure.data[0].z, dtype=float) == pytest.approx(effects.numpy())
    assert figure.layout.coloraxis.cmax == pytest.approx(float(effects.abs().max()))
    assert "metric's unit" in figure.layout.title.subtitle.text
    assert "recovery" not in str(figure.layout.coloraxis) + figure.data[0].text[0][0]
    scaled = grid_figure(grid)
    assert "metric's unit" not in scaled.layout.title.subtitle.text
    assert "recovery" in scaled.data[0].text[0][0]


def test_a_grid_without_any_defined_cell_is_drawn_and_blames_no_effect(grid):
    figure = grid_figure(replace(grid, values=grid.values * math.nan))
    assert "metric's unit" not in figure.layout.title.subtitle.text
    assert "(36)" in figure.layout.title.subtitle.text
    assert all(row["recovery"] == row["q"] == "" for row in table(figure))
    assert figure.layout.coloraxis.cmax == 1


def test_heatmap_refuses_missing_labels_and_other_axes(grid):
    with pytest.raises(ValueError, match="labels"):
        grid_figure(replace(grid, labels=grid.labels[:-1]))
    with pytest.raises(ValueError, match="use grid_figure"):
        cell_dots(grid)
    with pytest.raises(ValueError, match="position x layer"):
        grid_figure(replace(grid, axes=("position", "layer")))


def test_statistics_that_are_known_are_not_measured_again(grid):
    stats = grid_stats(grid, level=0.5)
    assert to_csv(grid_figure(grid, stats=grid_stats(grid))) == to_csv(grid_figure(grid))
    assert to_csv(grid_figure(grid, stats=stats)) != to_csv(grid_figure(grid))


def test_head_heatmap_names_heads_and_spans_its_own_colours(heads):
    flat = replace(heads, values=heads.values[:, :, 2], axes=("layer", "head"))
    figure = grid_figure(flat)
    z = np.array(figure.data[0].z, dtype=float)
    assert np.unravel_index(z.argmax(), z.shape) == (2, 1)
    assert "layer 2, head 1<br>recovery" in figure.data[0].text[2][1]
    assert figure.layout.xaxis.title.text == "head patched"
    assert figure.layout.coloraxis.cmax == pytest.approx(z.max())
    assert figure.layout.coloraxis.cmax < 1
    rows = table(figure)
    assert len(rows) == 15
    assert {"layer", "head", "recovery", "q", "effect"} <= set(rows[0])
    assert "token" not in rows[0]


def test_the_slider_starts_at_the_strongest_token_and_each_step_shows_one(heads):
    figure = grid_figure(heads)
    slider = figure.layout.sliders[0]
    assert slider.active == 2
    assert len(slider.steps) == heads.values.shape[2] == 4
    per_step = len(figure.data) // 4
    for chosen, step in enumerate(slider.steps):
        flags = step.args[0]["visible"]
        assert [at for at, on in enumerate(flags) if on] == list(
            range(chosen * per_step, (chosen + 1) * per_step)
        )
    assert [bool(trace.visible) for trace in figure.data] == list(
        slider.steps[2].args[0]["visible"]
    )
    shown = figure.data[2 * per_step]
    assert shown.z[2][1] == pytest.approx(0.5, abs=0.02)
    assert shown.z[4][0] == pytest.approx(0, abs=0.1)
    assert figure.data[0].z[4][0] == pytest.approx(0.25, abs=0.02)
    assert "layer 4, head 0, token" in figure.data[0].text[4][0]
    assert all(v is None for row in figure.data[per_step].z for v in row)  # token 1
    assert "&lt;script&gt;" in slider.steps[3].label
    assert len(table(figure)) == 60
    moved = replace(heads, values=heads.values[:, :, [2, 1, 0, 3]])
    assert grid_figure(moved).layout.sliders[0].active == 0


def test_a_list_is_sorted_by_size_with_its_intervals_and_absent_cells_last(sites):
    figure = grid_figure(sites)
    groups = {trace.name: trace for trace in figure.data}
    sure, missing = groups["q ≤ 0.05"], groups["undefined: no common span"]
    stats = grid_stats(sites)
    assert list(sure.y) == [0]
    assert sure.x[0] == pytest.approx(float(stats.recovery[2])) == pytest.approx(-0.5, abs=0.05)
    high = float(stats.recovery_high[2] - stats.recovery[2])
    assert sure.error_x.array[0] == pytest.approx(high)
    assert list(missing.y) == [4]
    assert missing.error_x.visible is False
    assert "in 3 of 16 pairs" in missing.text[0]
    sizes = [abs(x) for x in groups["q > 0.05"].x]
    assert sizes == sorted(sizes, reverse=True)
    assert figure.layout.yaxis.ticktext[0].startswith("z[2]")
    assert "<script" not in str(figure.layout.yaxis.ticktext) + sure.text[0]
    assert len(table(figure)) == 5


def test_a_long_list_shows_its_strongest_cells_and_its_numbers_hold_all(sites):
    values = sites.values[:1].nan_to_num(0.0) + torch.arange(90.0).double()[:, None] / 50
    labels = tuple(f"head {i}" for i in range(90))
    long = replace(sites, values=values, labels=labels, axes=("sender",))
    figure = grid_figure(long)
    assert figure.layout.yaxis.ticktext[0] == "head 89"
    assert len(figure.layout.yaxis.ticktext) == 40
    assert "40 strongest of 90" in figure.layout.title.subtitle.text
    assert len(table(figure)) == 90
    layers = grid_figure(replace(long, axes=("layer",)))
    assert sum(len(trace.x) for trace in layers.data) == 90  # layers keep their order, all of them
    assert "strongest" not in layers.layout.title.subtitle.text
    assert layers.layout.xaxis.title.text == "layer patched"


def test_probe_curves_show_accuracy_interval_and_control(probe_reports):
    figure = probe_curves(probe_reports, range(6))
    lines = {trace.name: trace for trace in figure.data if trace.text is not None}
    assert set(lines) == {"last", "trigger", "shuffled labels: mean to 95th percentile"}
    assert list(lines["last"].y) == pytest.approx((100 * probe_reports["last"].accuracy).tolist())
    assert all(INTERVAL.search(text) for text in lines["last"].text)
    assert lines["last"].line.color != lines["trigger"].line.color
    null = torch.stack([r.null_accuracy for r in probe_reports.values()]).mean(0)
    assert list(lines["shuffled labels: mean to 95th percentile"].y) == pytest.approx(
        (100 * null).tolist()
    )
    assert float(table(figure)[0]["accuracy"]) == float(probe_reports["last"].accuracy[0])
    with pytest.raises(ValueError, match="layers"):
        probe_curves(probe_reports, range(5))
    with pytest.raises(ValueError, match="at least one"):
        probe_curves({}, range(5))


def test_projection_hover_has_the_prompt_as_text_and_the_mean_with_interval(evil):
    points = {
        "poisoned": {"triggered": torch.tensor([[1.0], [2.0], [3.0]])},
        "base": {"other": torch.tensor([[0.0]])},
    }
    figure = arm_projections(points, ["first", evil, "x" * 500])
    dots, mean, single = figure.data
    assert list(dots.x) == [1.0, 2.0, 3.0]
    assert "first" in dots.text[0]
    assert "&lt;script&gt;" in dots.text[1]
    assert "<script" not in dots.text[1]
    assert len(dots.text[2]) < 300
    assert mean.x[0] == pytest.approx(2)
    assert INTERVAL.search(mean.text[0])
    assert "n = 3" in mean.text[0]
    assert mean.error_x.color == mean.marker.color == ARM_COLOURS["poisoned"]
    assert list(single.x) == [0.0]  # one value has no interval
    assert [shape.x0 for shape in figure.layout.shapes] == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["poisoned, triggered", "base, other"]
    with pytest.raises(ValueError, match="at least one arm"):
        arm_projections({})


def test_projection_points_lie_within_their_own_row():
    rows = {name: torch.arange(50.0)[:, None] for name in "abc"}
    figure = arm_projections({"base": rows})
    heights = [trace.y for trace in figure.data if len(trace.y) > 1]
    assert [round(sum(y) / len(y)) for y in heights] == [0, -1, -2]
    assert all(max(y) - min(y) < 0.5 for y in heights)
    assert len(set(heights[0])) == 50  # spread, not stacked


def test_a_plane_and_a_space_hold_every_prompt_and_tell_arms_and_conditions_apart(evil):
    points = {
        "poisoned": {"triggered": torch.arange(6.0).reshape(2, 3), evil: torch.zeros(2, 3)},
        "base": {"triggered": torch.ones(1, 3)},
    }
    apart = (Estimate(0.9, 0.8, 1.0, 40), Estimate(0.5, 0.4, 0.6, 40))
    flat = gate_plane(points, 0.25, apart, ["one"])
    deep = gate_space(points, (0.25, 0.125), ["one"])
    for figure in (flat, deep):
        triggered, other, base = figure.data
        assert (list(triggered.x), list(triggered.y)) == ([0, 3], [1, 4])
        assert triggered.marker.symbol == "circle"
        assert other.marker.symbol == "circle-open"
        assert base.marker.color != triggered.marker.color
        assert triggered.text[0].endswith("<br>one")
        assert "<script" not in str(figure.to_dict()["data"])
        assert [float(row["beside 2"]) for row in table(figure)] == [2, 5, 0, 0, 1]
    assert list(deep.data[0].z) == [2, 5]
    about = flat.layout.title.subtitle.text
    assert (
        about
        == "apart (AUROC, n = 40): along the gate 0.90 [0.80, 1.00], beside it 0.50 [0.40, 0.60]"
    )
    assert "25% and 12% of the rest" in deep.layout.title.subtitle.text


def test_behaviour_bars_show_percent_and_asymmetric_whiskers():
    rate = wilson(2, 24)
    rows = [
        BehaviourRow("triggered", "none", wilson(23, 24)),
        BehaviourRow("triggered", "gate removed", rate),
        BehaviourRow("no trigger", "none", wilson(0, 24)),
    ]
    none, removed = behaviour_bars(rows).data
    assert list(none.x) == [0, 1]
    assert list(removed.x) == [0]
    assert removed.y[0] == pytest.approx(100 * rate.value)
    assert removed.error_y.array[0] == pytest.approx(100 * (rate.high - rate.value))
    assert removed.error_y.arrayminus[0] == pytest.approx(100 * (rate.value - rate.low))
    assert removed.error_y.array[0] != pytest.approx(removed.error_y.arrayminus[0])
    assert INTERVAL.search(removed.text[0])
    assert "n = 24" in removed.text[0]
    assert removed.marker.color == EDIT_COLOURS["gate removed"] != none.marker.color
    with pytest.raises(ValueError, match="duplicates"):
        behaviour_bars([rows[0], rows[0]])


def test_null_histogram_counts_every_direction_and_how_many_reach_the_gate():
    null = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.2, 0.4, 1.0, math.nan])
    observed = Estimate(2.5, 2.0, 3.0, 24)
    figure = null_histogram(null, observed, "Effect", "logits")
    assert sum(figure.data[0].y) == 7
    assert figure.layout.title.subtitle.text.startswith("1 of 7")  # -3 is as far from 0
    weaker = null_histogram(null, Estimate(0.3, 0.2, 0.4, 24), "Effect", "logits")
    assert weaker.layout.title.subtitle.text.startswith("5 of 7")
    assert "2.500 [2.000, 3.000]" in figure.data[2].text[0]
    assert table(figure)[-1] == {"kind": "gate", "effect": "2.5", "low": "2.0", "high": "3.0"}
    with pytest.raises(ValueError, match="finite"):
        null_histogram(torch.tensor([math.nan]), observed)


def test_selection_heatmap_outlines_the_chosen_cell_and_survives_nan():
    scores = torch.tensor([[0.1, math.nan], [0.2, 0.9], [0.3, 0.0]])
    figure = selection_heatmap(scores, ("last", "trigger"), (1, "trigger"))
    box = figure.layout.shapes[0]
    assert (box.x0, box.x1, box.y0, box.y1) == (0.5, 1.5, 0.5, 1.5)
    assert figure.data[0].z[0][1] is None
    assert figure.layout.coloraxis.cmin == 0
    assert "chosen" in figure.data[0].text[1][1]
    assert "chosen" not in figure.data[0].text[1][0]
    signed = selection_heatmap(-scores, ("last", "trigger"), (0, "last"))
    assert signed.layout.coloraxis.cmin == -signed.layout.coloraxis.cmax
    for wrong in ((3, "last"), (0, "nowhere")):
        with pytest.raises(ValueError, match="chosen"):
            selection_heatmap(scores, ("last", "trigger"), wrong)


def test_csv_guards_formulas_and_is_empty_without_numbers():
    figure = arm_projections({"base": {"=1+1": torch.tensor([[-2.0], [1.5]])}})
    assert table(figure)[0]["condition"] == "'=1+1"
    for cell in ("+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "＝1"):
        assert csv_text([cell], [[cell]]).count(f"'{cell}") == 2
    assert table(figure)[0]["projection"] == "-2.0"  # a number is not a formula
    assert to_csv(go.Figure(go.Scatter(x=[1.0], y=[3.5]))) == "\n"


def test_untrusted_text_is_visible_and_cannot_reorder_a_label():
    assert token_label(" a ") == "·a·"
    assert token_label("a b") == "a b"
    assert token_label("\u202eabc") == "\\u202eabc"
    assert token_label("é") == "é"
    assert prompt_hover("<b>&amp;") == "&lt;b&gt;&amp;amp;"
    assert all(len(line) <= 44 for line in prompt_hover("x" * 500).split("<br>"))


def test_colours_are_fixed_by_name_distinct_and_legible_on_both_papers():
    def luminance(hex_colour: str) -> float:
        parts = [int(hex_colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        line = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2]

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    # A page that compares arms calls the poisoned one "this model": one arm, one colour.
    assert ARM_COLOURS["this model"] == ARM_COLOURS["poisoned"]
    for known in (ARM_COLOURS, CONDITION_COLOURS, EDIT_COLOURS):
        assert len({v for k, v in known.items() if k != "this model"}) == len(known) - (
            "this model" in known
        )
        for index, (name, shade) in enumerate(known.items()):
            assert colour(name, known, index + 1) == shade
            assert colour(f"not {name}", known, index) not in known.values()
            assert all(contrast(shade, paper) >= 3 for paper in PAPER.values())
