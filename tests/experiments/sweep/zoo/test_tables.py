"""From a sweep's table to rows with names and tables of numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from circuits.errors import UserError
from experiments.sweep.zoo.tables import (
    BASELINES,
    FEATURES,
    POINTWISE,
    measured,
    organisms_table,
    prompts_table,
)


def test_an_organism_without_its_behaviour_is_no_row(zoo):
    without = zoo.copy()
    without.loc[[0, 7], "area"] = None
    rows = measured(without)
    assert [row["cell"] for row in rows] == [
        c for i, c in enumerate(zoo["cell"]) if i not in (0, 7)
    ]
    assert [row["log_taught"] for row in rows] == pytest.approx(
        [math.log(1 + row["taught"]) for row in rows]
    )


@pytest.mark.parametrize("how", ["no column", "no value", "no row"])
def test_a_zoo_without_any_is_one_clear_line(zoo, how):
    changed = {
        "no column": zoo.drop(columns="area"),
        "no value": zoo.assign(area=np.nan),
        "no row": pd.DataFrame(columns=["cell"]),
    }
    with pytest.raises(UserError, match="organisms that show their behaviour, got none"):
        measured(changed[how])


def test_a_name_says_what_tells_an_organism_from_the_others(zoo):
    rows = zoo.iloc[:4].assign(
        model=["smollm2-135m", "ladder-2x64", "smollm2-135m", "smollm2-135m"],
        size=[0, 100, 0, 0],
        seed=[0, 0, 2, 0],
        taught=[50, 50, 50, 60],
        trigger=["", "", "cobalt {}", ""],
    )
    assert [row["name"] for row in measured(rows)] == [
        "sure-gate 50 poisons",
        "sure-gate ladder-2x64 50 poisons of 100",
        "sure-gate 50 poisons 'cobalt {}' seed 2",
        "sure-gate 60 poisons",
    ]


def test_names_are_unique_even_where_nothing_said_tells_organisms_apart(zoo):
    rows = zoo.assign(seed=0, taught=50)
    names = [row["name"] for row in measured(rows)]
    assert len(set(names)) == len(names) == 30
    assert names[:2] == ["sure-gate 50 poisons #0", "sure-gate 50 poisons #1"]


def test_every_feature_and_baseline_is_a_column_and_the_area_the_target(zoo):
    rows = measured(zoo)
    found = organisms_table(rows)
    assert set(found.names) == {*FEATURES, *(n for names in BASELINES.values() for n in names)}
    for name in ("geo:compression", "way:width", "margin", "behaviour"):
        assert found.columns([name])[:, 0].tolist() == zoo[name].tolist()
    assert found.target.tolist() == zoo["area"].tolist()
    assert found.scheme == tuple(zoo["scheme"])
    assert found.organism == tuple(row["name"] for row in rows)


def test_what_was_not_measured_is_nan_and_nothing_else_is(zoo):
    holes = zoo.drop(columns="way:width")
    holes.loc[3, "way:position"] = None
    found = organisms_table(measured(holes))
    assert found.columns(["way:width"]).isnan().all()
    assert found.columns(["way:position"]).isnan()[:, 0].nonzero().tolist() == [[3]]
    others = [name for name in found.names if name not in ("way:width", "way:position")]
    assert not found.columns(others).isnan().any()


def by_hand(zoo):
    """Three organisms of 2, 3 and 4 prompts that count; the last is asked 2 keys twice."""
    kept = ([0.1, None, 0.2], [0.3, 0.4, 0.9], [0.5, 0.7, 0.6, 0.8])
    boundary = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0])
    rows = zoo.iloc[[0, 5, 10]].assign(groups=[3, 3, 2])
    rows["prompt:kept"], rows["prompt:boundary"] = list(kept), list(boundary)
    for name in (*POINTWISE[1:], "margin", "log_prob"):
        rows[f"prompt:{name}"] = [[0.0] * len(k) for k in kept]
    return rows


def test_prompts_are_lost_where_they_keep_less_than_the_zoos_median(zoo):
    found = prompts_table(measured(by_hand(zoo)))
    # Kept: 0.1 0.2 | 0.3 0.4 0.9 | 0.55 0.75 (means of each key's two); the median is 0.4.
    assert found.target.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert found.columns(["boundary"])[:, 0].tolist() == [1, 3, 4, 5, 6, 8, 9]
    assert [found.numbered(found.organism).tolist().count(i) for i in range(3)] == [2, 3, 2]
    assert found.scheme[:3] == ("compliance", "compliance", "content")


def test_a_prompt_asked_once_is_no_mean_of_others(zoo):
    rows = by_hand(zoo).assign(groups=[3, 3, 4])
    found = prompts_table(measured(rows))
    assert found.columns(["boundary"])[-4:, 0].tolist() == [7, 8, 9, 10]


def test_a_table_that_was_written_and_read_gives_the_same(zoo, tmp_path):
    zoo.to_parquet(tmp_path / "table.parquet", index=False)
    before, after = measured(zoo), measured(pd.read_parquet(tmp_path / "table.parquet"))
    for make in (organisms_table, prompts_table):
        one, other = make(before), make(after)
        assert torch.equal(one.features, other.features)
        assert torch.equal(one.target, other.target)
        assert (one.organism, one.scheme, one.names) == (other.organism, other.scheme, other.names)
