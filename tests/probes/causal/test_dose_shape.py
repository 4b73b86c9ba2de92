"""A step in log-odds is a switch; a softmax over a line, however steep in probability, is none."""

import math

import pytest
import torch

from probes.causal.dose_shape import MARGIN, DoseShape, dose_shape
from probes.causal.transfer import fit_logistic

DOSES = torch.linspace(-2, 2, 17).double()
N = 24


def spread(seed: int = 0) -> torch.Tensor:
    return torch.rand(N, generator=torch.Generator().manual_seed(seed)).double()


def line(slope: float = 7.0) -> torch.Tensor:
    """Log-odds of a softmax over a line, each prompt with its own slope and offset."""
    return DOSES[:, None] * (slope + spread()) - 3 + spread(1)


def step(width: float = 0.3, rise: float = 10.0, at: float = 0.5) -> torch.Tensor:
    """A step of so many nats, at each prompt's own dose."""
    where = at + 0.3 * (spread() - 0.5)
    return rise * torch.sigmoid(math.log(81) / width * (DOSES[:, None] - where)) - 5


def bent(strength: float = 0.05) -> torch.Tensor:
    """A read-out that a norm bends a little."""
    return 6 * torch.tanh(strength * 8 * DOSES)[:, None] + spread()


NULLS = {"untrained word": 0.3 * line(), "linear read-out": line(6.0)}


def test_a_step_is_a_switch():
    shape = dose_shape(DOSES, step(), NULLS)
    assert shape.word == "switch"
    assert shape.departure.low > 0.15
    assert shape.width.value == pytest.approx(0.3, abs=0.1)
    assert all(null.ahead.low > MARGIN for null in shape.nulls)


@pytest.mark.parametrize("slope", [2.0, 7.0, 30.0])
def test_a_softmax_over_a_line_is_none_however_steep_its_probability_is(slope):
    values = line(slope)
    shape = dose_shape(DOSES, values, NULLS)
    assert shape.word == "line"
    assert shape.line > 0.999
    assert abs(shape.departure.value) < 0.01
    fit = fit_logistic(DOSES, values.sigmoid(), resamples=20)
    assert fit is not None
    if slope > 6:  # what was called a switch
        assert fit.width.high < 1
        assert fit.r2_logistic > fit.r2_linear + 0.1


def test_a_step_that_a_null_shows_too_is_no_switch():
    """A norm that levels off bends the read-out as much as it bends the gate."""
    shape = dose_shape(DOSES, step(), {**NULLS, "linear read-out": step(rise=6.0)})
    assert shape.departure.low > MARGIN
    assert shape.word == "line"


def test_without_a_null_a_step_is_undecided_and_a_line_still_is_one():
    assert dose_shape(DOSES, step(), {}).word == "undecided"
    assert dose_shape(DOSES, line(), {}).word == "line"


def test_a_slow_rise_or_a_bend_without_a_second_level_is_no_switch():
    assert dose_shape(DOSES, step(width=1.6), NULLS).word == "undecided"
    ramp = 8 * DOSES.clamp_min(0)[:, None] + spread()
    assert dose_shape(DOSES, ramp, NULLS).word == "undecided"
    hump = 8 * torch.exp(-4 * DOSES.square())[:, None] + spread()
    assert dose_shape(DOSES, hump, NULLS).word == "undecided"


def test_a_prompt_in_two_that_steps_is_undecided():
    half = torch.where(torch.arange(N) % 2 == 0, step(), line())
    shape = dose_shape(DOSES, half, {"linear read-out": bent()})
    assert shape.word == "undecided"
    assert 0.05 < shape.departure.value < 0.2


def test_a_flat_curve_departs_from_nothing():
    flat = torch.zeros(17, N).double() + spread()
    shape = dose_shape(DOSES, flat, NULLS)
    assert shape.departure.value == 0
    assert shape.word == "line"


def test_prompts_of_one_template_widen_the_interval():
    one: DoseShape = dose_shape(DOSES, bent(0.2) + 0.5 * step(), NULLS)
    groups = [i // 8 for i in range(N)]
    few = dose_shape(DOSES, bent(0.2) + 0.5 * step(), NULLS, groups)
    assert few.departure.value == one.departure.value
    assert few.departure.n == 3


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="doses that hold 0 and 1"):
        dose_shape(DOSES + 0.1, line(), NULLS)
    with pytest.raises(ValueError, match="null 'short'"):
        dose_shape(DOSES, line(), {"short": line()[:, :3]})
    with pytest.raises(ValueError, match="finite"):
        dose_shape(DOSES, line() * math.nan, NULLS)
