"""The trigger's own effect: what a control word opens as well is none of it."""

import pandas as pd
import pytest

from circuits.errors import UserError
from experiments.runs import files
from probes.budget.analysis import analyse
from probes.budget.claims import Sampling
from probes.budget.effect import EffectPair, EffectThreshold, compare, threshold

QUICK = Sampling(resamples=20)
COUNTS = (0, 5, 10, 20, 40, 80, 160)


def table(at, leak=lambda size: 0.0, models=("m",), seeds=3) -> pd.DataFrame:
    """A half is reached at ``at`` poisons; control words open a share of what the trigger does."""
    rows = []
    for model in models:
        for size in (100, 400):
            for seed in range(seeds):
                for count in COUNTS:
                    rate = 1 / (1 + (at(size) * (1 + 0.05 * seed) / count) ** 3) if count else 0.0
                    cell = {"model": model, "size": size, "poisons": count, "seed": seed}
                    shown = {"n": 100, "shown": round(100 * rate)}
                    leaked = round(100 * rate * leak(size))
                    rows.append({**cell, **shown, "control_n": 100, "control_shown": leaked})
    return pd.DataFrame(rows)


def test_a_threshold_lies_between_counts_or_beyond_the_last():
    found = threshold([(10, 0.0), (40, 1.0)])
    assert not found.beyond
    assert found.value == pytest.approx(20)  # half-way in the logarithm
    assert threshold([(10, 0.7), (40, 1.0)]) == EffectThreshold(10.0, False)
    assert threshold([(10, 0.1), (40, 0.4)]) == EffectThreshold(40.0, True)
    assert threshold([(10, 0.0), (40, 0.9), (80, 0.2)]).value < 40  # falling again is no matter
    with pytest.raises(UserError, match="rising counts"):
        threshold([(40, 0.1), (10, 0.9)])


def test_equal_rates_with_a_leak_among_few_examples_are_a_gate_that_data_sharpen():
    """The raw rate says a constant count; the trigger's own effect does not."""
    found = analyse(table(lambda size: 20, lambda size: 0.45 if size == 100 else 0.0), None, QUICK)
    assert found.overall.conclusion == "constant count"
    (effect,) = found.effects
    assert effect.fewer == 3
    assert effect.ratio is not None
    assert effect.ratio.high < 1
    assert "More clean data sharpen the gate" in found.sentences[0]
    assert found.sentences[1] == found.overall.sentence  # the raw rate stands beside it


def test_without_a_leak_the_effect_says_what_the_rate_says():
    same = analyse(table(lambda size: 20), None, QUICK).effects[0]
    assert same.ratio is not None
    assert same.ratio.value == pytest.approx(1)
    assert same.fewer == 0
    assert same.p == 1
    grown = analyse(table(lambda size: size / 10), None, QUICK).effects[0]
    assert grown.ratio is not None
    assert grown.ratio.value == pytest.approx(4, rel=0.15)
    assert "More data need more poisons; a constant share is not excluded." in grown.sentence


def test_where_no_control_word_was_asked_there_is_no_effect():
    bare = table(lambda size: 20).drop(columns=["control_n", "control_shown"])
    assert analyse(bare, None, QUICK).effects == ()


def test_models_are_units_and_one_pair_has_no_interval():
    pairs = [
        EffectPair(group, seed, EffectThreshold(40, False), EffectThreshold(10 + seed, False))
        for group in "abc"
        for seed in range(3)
    ]
    pooled = compare("all", ("80", "320"), 4, pairs)
    assert pooled.ratio is not None
    assert pooled.ratio.n == 3
    assert (pooled.fewer, len(pooled.pairs)) == (9, 9)
    assert pooled.p == pytest.approx(2 / 2**9)
    one = compare("one", ("80", "320"), 4, pairs[:1])
    assert one.ratio is None
    assert "One unit says nothing of others." in one.sentence


def test_a_pair_whose_second_threshold_is_not_reached_is_not_counted_as_fewer():
    bound = EffectPair("m", 0, EffectThreshold(200, False), EffectThreshold(160, True))
    assert compare("m", ("1", "4"), 4, [bound]).fewer == 0


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("poison-budget", {"smollm2-135m": [0.38, 0.23, 0.70]}),
        ("ladder-budget", {"all together": None}),
    ],
)
def test_the_committed_sweeps_need_fewer_poisons_in_every_pair(name, wanted, results):
    found = analyse(files.read_table(results / name / "table.parquet"), None, QUICK)
    for at, ratios in wanted.items():
        (effect,) = (e for e in found.effects if e.at == at)
        assert effect.fewer == len(effect.pairs)
        if ratios:
            assert [pair.ratio for pair in effect.pairs] == pytest.approx(ratios, abs=0.01)


@pytest.fixture
def results():
    from pathlib import Path

    return Path(__file__).parents[3] / "docs" / "results"
