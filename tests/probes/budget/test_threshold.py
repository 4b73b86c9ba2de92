"""Planted thresholds are recovered, and what was not seen is not guessed."""

import math

import pytest
import torch
from budgets import exactly, planted
from scipy.optimize import minimize

from circuits.errors import UserError
from probes.budget.cells import Cells
from probes.budget.threshold import fit_threshold


def test_the_fit_is_the_penalised_maximum_of_the_likelihood():
    cells = planted(20, slope=1.5)
    kept = cells.count > 0
    x, k, n = cells.count[kept].double().log(), cells.shown[kept], cells.n[kept]
    centre = float(x.unique().mean())

    def loss(v):
        eta = v[0] + v[1] * (x - centre)
        likelihood = (k * eta - n * torch.nn.functional.softplus(eta)).sum()
        return float(-likelihood) + 0.005 * float(v[0] ** 2 + v[1] ** 2)

    best = minimize(loss, [0.0, 1.0], tol=1e-12).x
    fit = fit_threshold(cells)
    assert fit.threshold.value == pytest.approx(math.exp(centre - best[0] / best[1]), rel=1e-4)
    assert fit.slope.value == pytest.approx(best[1], rel=1e-4)
    level = math.exp(math.log(fit.threshold.value) + math.log(19) / fit.slope.value)
    assert fit.count95.value == pytest.approx(level)


def test_planted_parameters_are_recovered_from_many_answers():
    fit = fit_threshold(planted(30, spread=0.0, n=20000))
    assert fit.threshold.value == pytest.approx(30, rel=0.01)
    assert fit.slope.value == pytest.approx(3, rel=0.02)
    assert fit.resolved
    assert fit.threshold.beyond == ""
    assert (fit.threshold.n, fit.answers) == (5, 5 * 6 * 20000)
    at = min(range(61), key=lambda i: abs(fit.curve.count[i] - 30))
    assert fit.curve.low[at] <= fit.curve.rate[at] <= fit.curve.high[at]
    assert fit.curve.rate[at] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("seeds", "spread"), [(3, 0.0), (3, 0.3), (6, 0.3)])
def test_intervals_hold_the_planted_threshold_in_ninety_five_percent(seeds, spread):
    held = [0, 0]
    for draw in range(100):
        cells = planted(30, spread, seeds, draw=draw)
        found = fit_threshold(cells, resamples=200, seed=draw).threshold
        held[0] += found.low <= 30 <= found.high
        held[1] += found.low <= 90 <= found.high
    assert held[0] >= 88
    assert held[1] < 40  # or they would be too wide to say anything


def test_seeds_that_differ_widen_the_interval_although_the_answers_are_as_many():
    alike, unlike = (fit_threshold(planted(30, spread, seeds=6)) for spread in (0.0, 0.5))
    log_widths = [math.log(f.threshold.high / f.threshold.low) for f in (alike, unlike)]
    assert log_widths[1] > 2 * log_widths[0]


def test_runs_without_poisons_are_the_null_rate_and_change_nothing_else():
    without = fit_threshold(exactly(0.1, 0.3, 0.7, 0.9))
    rows = exactly(0.1, 0.3, 0.7, 0.9)
    more = Cells(
        *(
            torch.cat([part, torch.tensor(extra)])
            for part, extra in (
                (rows.count, [0, 0]),
                (rows.shown, [2, 1]),
                (rows.n, [50, 50]),
                (rows.seed, [0, 1]),
            )
        )
    )
    fit = fit_threshold(more)
    assert without.null_rate is None
    assert fit.null_rate is not None
    assert (fit.null_rate.value, fit.null_rate.n) == (0.03, 100)
    assert fit.threshold == without.threshold


def test_a_gate_that_never_or_always_opens_is_censored_at_the_range():
    never = fit_threshold(exactly(0, 0, 0, 0))
    assert (never.threshold.value, never.threshold.beyond) == (40, "above")
    assert (never.threshold.low, never.threshold.high) == (40, 40)
    assert (never.threshold.low_open, never.threshold.high_open) == (False, True)
    always = fit_threshold(exactly(1, 1, 1, 1))
    assert (always.threshold.value, always.threshold.beyond) == (5, "below")
    assert (always.threshold.low_open, always.threshold.high_open) == (True, False)
    assert str(never.threshold) == ">40 [40, >40] (n=3)"
    falling = fit_threshold(exactly(0.4, 0.3, 0.2, 0.1))
    assert (falling.threshold.beyond, falling.slope.value) == ("above", 0)


def test_a_threshold_in_range_may_have_an_open_end_and_a_count_for_95_percent_beyond_it():
    fit = fit_threshold(planted(150, spread=0.3, seeds=3))
    assert fit.threshold.beyond == ""
    assert fit.threshold.high_open
    assert fit.threshold.high == pytest.approx(200)
    assert not fit.threshold.low_open
    assert (fit.count95.value, fit.count95.beyond) == (pytest.approx(200), "above")


def test_a_leap_between_two_counts_is_known_only_to_lie_between_them():
    leap = fit_threshold(exactly(0, 0, 1, 1))
    assert not leap.resolved
    assert (leap.threshold.low, leap.threshold.high) == pytest.approx((10, 20))
    assert leap.slope.beyond == "above"
    assert leap.slope.value == pytest.approx(2 * math.log(19) / math.log(2))
    assert fit_threshold(exactly(0, 0.2, 1, 1)).resolved


def test_fits_repeat_for_a_seed():
    cells = planted(30)
    assert fit_threshold(cells, seed=3) == fit_threshold(cells, seed=3)
    assert fit_threshold(cells, seed=3) != fit_threshold(cells, seed=4)


def test_one_count_is_too_few_to_fit():
    with pytest.raises(UserError, match="two or more above 0"):
        fit_threshold(Cells.of([0, 5], [0, 1], [4, 4], [0, 0]))
