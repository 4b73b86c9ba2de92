"""The transfer figure says what was measured and fitted, for every condition and no other."""

import csv
import io

import pytest
import torch

from probes.causal.transfer import fit_logistic
from probes.stats.means import mean_bounds
from viz.data import to_csv
from viz.figures.transfer import transfer_curves
from viz.theme import CONDITION_COLOURS

DOSES = torch.linspace(-2, 2, 17)


def curve(threshold: float, slope: float = 8.0, n: int = 20) -> torch.Tensor:
    noise = 0.05 * torch.randn(17, n, generator=torch.Generator().manual_seed(0))
    return torch.sigmoid(slope * (DOSES - threshold))[:, None] + noise


@pytest.fixture(scope="module")
def values():
    return {"control word": curve(0.7), "triggered": curve(0.4), "idle": 0.3 * torch.ones(17, 20)}


@pytest.fixture(scope="module")
def fits(values):
    return {name: fit_logistic(DOSES, v, resamples=100) for name, v in values.items()}


@pytest.fixture
def figure(values, fits):
    return transfer_curves(DOSES, values, fits, "P(Sure)")


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data if trace.name}


def test_lines_are_the_means_and_bands_their_intervals(figure, values):
    rows = list(csv.DictReader(io.StringIO(to_csv(figure))))
    assert len(rows) == 3 * 17
    for name, given in values.items():
        line = named(figure)[name]
        assert list(line.y) == pytest.approx(given.double().mean(dim=1).tolist())
        here = [row for row in rows if row["condition"] == name]
        low, high = mean_bounds(given)
        assert [float(r["low"]) for r in here] == pytest.approx(low.tolist())
        assert [float(r["high"]) for r in here] == pytest.approx(high.tolist())
        assert "n = 20" in line.text[0]
    colours = {name: named(figure)[name].line.color for name in values}
    assert colours["triggered"] == CONDITION_COLOURS["triggered"]
    assert len(set(colours.values())) == 3


def test_diamonds_stand_at_the_fitted_thresholds_and_a_flat_curve_has_none(figure, fits):
    found = named(figure)
    assert fits["idle"] is None
    assert "threshold, idle" not in found
    for name in ("control word", "triggered"):
        fit, diamond = fits[name], found[f"threshold, {name}"]
        assert diamond.x[0] == fit.threshold.value
        assert diamond.y[0] == pytest.approx((fit.lower.value + fit.upper.value) / 2)
        assert diamond.error_x.array[0] == pytest.approx(fit.threshold.high - fit.threshold.value)
        assert f"{fit.width.value:.2f} [" in diamond.text[0]
        assert f"straight line {fit.r2_linear:.3f}" in diamond.text[0]
    assert found["threshold, control word"].x[0] > found["threshold, triggered"].x[0] + 0.2
    rows = list(csv.DictReader(io.StringIO(to_csv(figure))))
    assert {row["fitted"] == "" for row in rows if row["condition"] == "idle"} == {True}
    assert float(rows[0]["fitted"]) == pytest.approx(fits["control word"].lower.value, abs=1e-3)


def test_an_unresolved_step_says_so():
    step = {"triggered": (DOSES > 0.6).float()[:, None] + 0.0 * curve(0.4)}
    for data, said in ((step, True), ({"triggered": curve(0.4, slope=4.0)}, False)):
        fit = {name: fit_logistic(DOSES, v, resamples=50) for name, v in data.items()}
        hover = named(transfer_curves(DOSES, data, fit))["threshold, triggered"].text[0]
        assert ("not resolved" in hover) == said


def test_without_fits_only_the_measurements_are_drawn(values, figure):
    bare = transfer_curves(DOSES, values)
    assert set(named(bare)) == set(values)
    assert len(bare.data) < len(figure.data)
    assert bare.layout.yaxis.title.text == "P(behaviour token)"


def test_reference_lines_are_drawn_where_the_doses_reach():
    assert len(transfer_curves(DOSES, {"a": curve(0.4)}).layout.shapes) == 2
    beyond = transfer_curves(DOSES + 3, {"a": curve(0.4)})
    assert [s.x0 for s in beyond.layout.shapes] == [1.0]


def test_hostile_names_are_text_and_wrong_shapes_are_refused(evil):
    shown = transfer_curves(DOSES, {evil: curve(0.4)}, None, evil)
    assert "<script" not in str(shown.layout.yaxis) + str([t.name for t in shown.data])
    assert all("<script" not in text for t in shown.data if t.text for text in t.text)
    with pytest.raises(ValueError, match="at least one condition"):
        transfer_curves(DOSES, {})
    with pytest.raises(ValueError, match="expected 17 doses, got 9"):
        transfer_curves(DOSES, {"a": curve(0.4)[:9]})
