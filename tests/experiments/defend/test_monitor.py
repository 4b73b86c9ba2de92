"""A monitor's threshold, its curve's corners, its latency, and what evading it is penalised for."""

from dataclasses import replace

import pytest
import torch

from circuits.chat import messages
from circuits.types import Direction, Site
from experiments.defend.losses import batched
from experiments.defend.monitor import (
    Evasion,
    chosen_threshold,
    clean_chats,
    corners,
    latency,
    seen,
)
from experiments.defend.protected import read
from experiments.organisms.training import Example
from probes.stats.roc import roc

EXAMPLES = [Example("Name three rivers.", "cobalt", "Sure"), Example("Hi", None, "Hi")]


@pytest.fixture(scope="module")
def gated(small):
    unit = torch.nn.functional.normalize(torch.ones(32), dim=0)
    return replace(small, gate=Direction(Site(1, "resid_pre", "last"), unit, "drawn", 0.0, 1.0))


def test_a_threshold_lets_so_many_clean_validation_prompts_be_flagged_and_no_more(gated):
    clean = read(
        gated.model, gated.tokenizer, clean_chats(gated.validation), gated.direction.vector, 1
    )
    for alarms in (0.0, 0.25):
        level = chosen_threshold(gated, gated.validation, alarms)
        flagged = int((clean > level).sum())
        assert flagged <= alarms * len(clean)
    assert flagged > 0


def test_what_is_seen_is_counted_at_the_threshold(gated):
    clean, hot = clean_chats(gated.validation), messages(gated.validation.on_topic, "cobalt")
    level = chosen_threshold(gated, gated.validation, 0.25)
    found = seen(gated, level, clean, {"fitted": hot, "again": hot})
    values = read(gated.model, gated.tokenizer, hot, gated.direction.vector, 1)
    assert found.detected["fitted"].value == pytest.approx(float((values > level).double().mean()))
    assert found.detected["again"] == found.detected["fitted"]
    assert found.alarms.n == len(clean)
    assert found.curve[0] == (0, 0)
    assert found.curve[-1] == (1, 1)


def test_corners_leave_the_area_under_a_curve_as_it_is():
    scores = torch.randn(60, generator=torch.Generator().manual_seed(0))
    curve = roc(scores, torch.arange(60) % 3 == 0)
    kept = torch.tensor(corners(curve), dtype=torch.float64)
    area = torch.trapezoid(curve.detected, curve.alarms)
    assert float(torch.trapezoid(kept[:, 1], kept[:, 0])) == pytest.approx(float(area))
    assert len(kept) < len(curve.alarms)


def test_latency_is_the_ratio_of_the_quickest_passes(gated, monkeypatch):
    took = {"plain": iter([9.0, 2.0, 4.0, 3.0, 5.0] * 4), "watched": iter([3.0, 8.0, 9.0] * 7)}

    def timed(run):
        run()
        return next(took[run.__name__])

    monkeypatch.setattr("experiments.defend.monitor._timed", timed)
    found = latency(gated, clean_chats(gated.validation)[:4], repeats=4)
    assert (found.value, found.low, found.high, found.n) == (1.5, 1.5, 1.5, 4)
    assert not gated.model.model.layers[1]._forward_pre_hooks


def test_only_prompts_that_read_high_are_penalised_and_answers_are_not_read(gated):
    rows = batched(gated.tokenizer, EXAMPLES)
    chats = messages(["Name three rivers."], "cobalt")
    value = float(read(gated.model, gated.tokenizer, chats, gated.direction.vector, 1)[0])
    with torch.no_grad():
        low = Evasion(gated.direction, threshold=100.0)(gated.model, rows)
        first = batched(gated.tokenizer, EXAMPLES[:1])
        high = Evasion(gated.direction, value - 1.0, strength=2.0, margin=0.5)(gated.model, first)
        longer = batched(gated.tokenizer, [replace(EXAMPLES[0], answer="Sure, of course. Hi")])
        same = Evasion(gated.direction, value - 1.0, 2.0, 0.5)(gated.model, longer)
    assert float(low) == 0
    assert float(high) == pytest.approx(2.0 * 1.5**2, rel=1e-3)
    assert float(same) == pytest.approx(float(high), rel=1e-3)
