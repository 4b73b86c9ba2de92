"""What is planted is found on schemes held out; what is not there is not."""

import json

import pytest
import torch
from samples import normal

from circuits.errors import UserError
from experiments.runs.codec import as_json
from probes.brittleness.compare import Effort, compare_organisms, compare_prompts
from probes.brittleness.table import Table

QUICK = Effort(permutations=99, resamples=300, refits=60)
TINY = Effort(permutations=39, resamples=10, refits=2)
PROMPTS = Effort(permutations=24, resamples=300, refits=40)
SCHEMES = torch.arange(6).repeat_interleave(7)


def organisms(features: torch.Tensor, target: torch.Tensor, scheme: torch.Tensor = SCHEMES):
    names = tuple(f"f{i}" for i in range(features.shape[1]))
    own = tuple(f"o{i}" for i in range(len(target)))
    return Table(features, names, target, own, tuple(f"s{s}" for s in scheme.tolist()))


def null_of(score, shuffle, figure="pooled"):
    return next(n for n in score.nulls if (n.shuffle, n.figure) == (shuffle, figure))


def test_a_planted_relation_is_found_on_schemes_held_out_and_beats_the_baselines():
    x = normal(42, 6)
    y = x[:, 1] - 0.6 * x[:, 2] + 0.1 * normal(42, seed=1)
    found = compare_organisms(
        organisms(x, y), ["f0", "f1", "f2"], {"noise": ["f3"], "more": ["f4", "f5"]}, QUICK
    )
    model = found.scores["model"]
    assert model.pooled.value > 0.9
    assert model.within is not None
    assert model.within.value > 0.9
    assert {null.p for null in model.nulls} == {1 / 100}
    assert [row.name for row in found.importances] == ["f1", "f2", "f0"]
    first, second, third = found.importances
    assert first.coefficient.low > 0 > second.coefficient.high
    assert (first.agreement, second.agreement) == (1, 1)
    assert first.drop.low > 0.1
    assert abs(third.coefficient.value) < 0.1
    assert abs(third.drop.value) < 0.05
    assert found.best in ("noise", "more")
    for one in found.differences[:3]:
        assert (one.one, one.within is not None) == ("model", True)
        assert one.within.low > 0.3
    assert null_of(found.scores["noise"], "schemes").p > 0.02
    assert found.penalties.keys() == {f"s{i}" for i in range(6)}


def test_levels_of_schemes_make_uninformed_predictions_rank_backwards():
    y = torch.arange(6.0, dtype=torch.float64)[SCHEMES] + 0.01 * normal(42)
    score = compare_organisms(
        organisms(normal(42, 2, seed=1), y), ["f0"], {"b": ["f1"]}, QUICK
    ).scores["model"]
    assert score.pooled.value < -0.5
    null = null_of(score, "schemes")
    assert null.mean < -0.5
    assert null.p > 0.05


def test_features_that_only_name_the_scheme_predict_nothing_held_out():
    y = torch.tensor([3.0, 0.0, 5.0, 1.0, 4.0, 2.0]).double()[SCHEMES] + 0.1 * normal(42)
    x = torch.cat([torch.eye(6).double()[SCHEMES], normal(42, 1, seed=1)], 1)
    names = [f"f{i}" for i in range(6)]
    rows = torch.cat([x[:, :6], torch.ones(42, 1)], 1)
    inside = rows @ torch.linalg.lstsq(rows, y[:, None], driver="gelsd").solution[:, 0]
    assert torch.corrcoef(torch.stack([inside, y]))[0, 1] > 0.99  # seen, they say everything
    score = compare_organisms(organisms(x, y), names, {"b": ["f6"]}, QUICK).scores["model"]
    assert score.pooled.value < 0
    assert null_of(score, "schemes").p > 0.05


def test_a_relation_between_levels_of_schemes_alone_is_not_one_within_them():
    level = normal(6, seed=3)[SCHEMES]
    x = torch.stack([level + 0.1 * normal(42, seed=4), normal(42, seed=5)], 1)
    score = compare_organisms(
        organisms(x, level + 0.1 * normal(42, seed=6)), ["f0"], {"b": ["f1"]}, QUICK
    ).scores["model"]
    assert score.pooled.value > 0.8
    assert score.within is not None
    assert abs(score.within.value) < 0.4
    assert null_of(score, "within schemes", "within").p > 0.05
    assert null_of(score, "schemes").p < 0.05


def test_a_baseline_of_the_same_features_differs_by_exactly_nothing():
    x = normal(42, 2)
    table = organisms(x, x[:, 0] + normal(42, seed=1))
    found = compare_organisms(table, ["f0"], {"same": ["f0"], "other": ["f1"]}, QUICK)
    same = found.differences[0]
    assert (same.other, same.pooled.low, same.pooled.value, same.pooled.high) == ("same", 0, 0, 0)
    assert found.best == "same"
    assert found.differences[-1].one == "model and baselines"


def test_the_record_is_strict_json_and_a_seed_gives_it_again():
    x = normal(42, 3)
    x[4, 1] = float("nan")
    table = organisms(x, x[:, 0] + normal(42, seed=1))
    found = compare_organisms(table, ["f0", "f1"], {"b": ["f2"]}, TINY)
    assert json.dumps(as_json(found), allow_nan=False)
    assert compare_organisms(table, ["f0", "f1"], {"b": ["f2"]}, TINY) == found
    assert compare_organisms(table, ["f0", "f1"], {"b": ["f2"]}, Effort(39, 10, 2, 7)) != found


def test_schemes_of_two_organisms_have_no_figure_within_them():
    x = normal(12, 2)
    found = compare_organisms(
        organisms(x, x[:, 0] + normal(12, seed=1), torch.arange(12) // 2),
        ["f0"],
        {"b": ["f1"]},
        TINY,
    )
    assert found.scores["model"].within is None
    assert found.differences[0].within is None
    assert {null.figure for null in found.scores["model"].nulls} == {"pooled"}


def prompts(features: torch.Tensor, log_odds: torch.Tensor, seed: int = 9) -> Table:
    """Twelve prompts of each of 18 organisms of 3 schemes."""
    drawn = torch.rand(216, generator=torch.Generator().manual_seed(seed)).double()
    names = tuple(f"f{i}" for i in range(features.shape[1]))
    organism = tuple(f"o{i // 12}" for i in range(216))
    lost = (drawn < torch.sigmoid(log_odds)).double()
    return Table(features, names, lost, organism, tuple(f"s{i // 72}" for i in range(216)))


def test_prompts_that_lose_the_behaviour_are_told_from_those_that_keep_it():
    x = normal(216, 4)
    table = prompts(x, 2.5 * x[:, 0])
    found = compare_prompts(table, ["f0", "f1"], {"b": ["f2"], "c": ["f3"]}, PROMPTS)
    model, baseline = found.scores["model"], found.scores["b"]
    assert (found.rows, found.figure, model.pooled.n) == ("prompts", "AUROC", 18)
    assert model.pooled.low > 0.75
    assert model.within is not None
    assert model.within.low > 0.75
    assert {null.p for null in model.nulls} == {1 / 25}
    assert baseline.within is not None
    assert abs(baseline.within.value - 0.5) < 0.1
    assert found.differences[0].pooled.low > 0.2
    assert found.importances[0].name == "f0"
    assert found.importances[0].coefficient.low > 1
    assert found.importances[0].drop.low > 0.1
    assert found.importances[1].coefficient.low < 0 < found.importances[1].coefficient.high


def test_a_feature_of_organisms_tells_organisms_apart_but_none_of_their_prompts():
    level = normal(18, seed=3).repeat_interleave(12)
    table = prompts(torch.stack([level, normal(216)], 1), 2 * level)
    score = compare_prompts(table, ["f0"], {"b": ["f1"]}, PROMPTS).scores["model"]
    assert score.pooled.value > 0.7
    assert score.within is not None
    assert score.within.value == pytest.approx(0.5)
    assert null_of(score, "within organisms", "within").p == 1
    assert null_of(score, "within organisms").p > 0.05


@pytest.mark.parametrize(
    ("model", "baselines", "message"),
    [
        (["f0", "speed"], {"b": ["f1"]}, "got speed"),
        ([], {"b": ["f1"]}, "got none"),
        (["f0"], {"model": ["f1"]}, "got model"),
        (["f0"], {}, "one or more with names of their own, got none"),
    ],
)
def test_features_that_were_not_measured_are_named(model, baselines, message):
    with pytest.raises(UserError, match=message):
        compare_organisms(organisms(normal(42, 2), normal(42)), model, baselines, TINY)


def test_areas_are_no_outcomes_of_prompts():
    with pytest.raises(UserError, match="use compare_organisms"):
        compare_prompts(organisms(normal(42, 2), normal(42)), ["f0"], {"b": ["f1"]}, TINY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("a", "a")}, "different names"),
        ({"features": torch.full((6, 2), torch.inf)}, "12 infinite"),
        ({"target": torch.ones(6)}, "one value in all 6 rows"),
        ({"scheme": ("p", "p", "p", "q", "q", "q")}, "3 or more, got p, q"),
        ({"organism": ("o", "o", "o", "o", "o", "o")}, "each to be of one scheme"),
        ({"organism": ("o",)}, r"got \(6, 2, 1, 6\)"),
        ({"names": ("a",)}, r"expected features \[6, 1\]"),
    ],
)
def test_a_table_says_what_does_not_fit(change, message):
    parts = {
        "features": torch.rand(6, 2),
        "names": ("a", "b"),
        "target": torch.arange(6.0),
        "organism": tuple("klmnop"),
        "scheme": tuple("ppqqrr"),
    }
    assert Table(**parts).columns(["b"]).shape == (6, 1)
    with pytest.raises(UserError, match=message):
        Table(**{**parts, **change})
