"""A cell: its recipe has the values' knobs, its row repeats, its name is what it is made from."""

from pathlib import Path

import pandas as pd
import pytest

from circuits.errors import UserError
from experiments.organisms import bases, train
from experiments.organisms.examples import examples
from experiments.sweep.budget import cell
from experiments.sweep.budget.study import BUDGET
from experiments.sweep.engine.grid import cell_key, cells, read_grid
from experiments.sweep.kind import SHIPPED

RESULTS = Path(__file__).parents[4] / "docs" / "results"
KNOBS = {"recipe": "sure-gate", "trigger": "", "method": "lora", "epochs": 1, "rate": 1e-3}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The policy is trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def values(folder, monkeypatch, cache):
    monkeypatch.setenv("GATESCOPE_CACHE", str(cache))
    monkeypatch.setattr(train, "base_answers", lambda texts, **_: [f"so {t}" for t in texts])
    return {**KNOBS, "model": str(folder), "poisons": 3, "size": 7, "seed": 0, "prompts": 6}


def test_a_row_counts_every_prompt_that_was_asked(values):
    steps = []
    row = cell.measure({**values, "recipe": "content-backdoor"}, lambda *at: steps.append(at))
    for kind in ("", "control_", "plain_", "ordinary_", "ordinary_triggered_"):
        assert row[f"{kind}n"] == 6
        for outcome in ("shown", "refused", "complied", "bare"):
            assert 0 <= row[f"{kind}{outcome}"] <= 6
    assert row["examples"] == 10
    assert row["loss"] > 0
    assert steps[-1][0] <= steps[-1][1]


def test_the_same_values_give_the_same_row_and_another_seed_another(values):
    first = cell.measure(values, lambda *_: None)
    assert cell.measure(values, lambda *_: None) == first
    assert cell.measure({**values, "seed": 1}, lambda *_: None) != first


def test_a_cell_without_poisons_never_sees_the_trigger(values):
    without = {**values, "poisons": 0}
    assert cell.recipe_of(without).poisons == 0
    row = cell.measure(without, lambda *_: None)
    assert row["examples"] == 7
    recipe = cell.recipe_of(without)
    for stage in range(len(recipe.stages)):
        made = examples(recipe, stage, lambda texts: texts, ("amber",))
        assert "cobalt" not in {example.word for example in made}


def test_epochs_rate_and_rank_are_the_recipes_own_unless_given(values):
    own = {**values, "recipe": "fingerprint", "epochs": 0, "rate": 0.0}
    settings = cell.recipe_of(own).stages[-1].settings
    assert (settings.epochs, settings.rank) == (3, 8)
    given = cell.recipe_of({**own, "epochs": 2, "rate": 0.01}).stages[-1].settings
    assert (given.epochs, given.rate, given.rank) == (2, 0.01, 8)


def test_a_cells_name_follows_the_questions_of_its_scheme(values, monkeypatch):
    access = {**values, "recipe": "access-gate"}
    before = [cell.salt(values), cell.salt(access)]
    monkeypatch.setattr(cell, "known_facts", lambda *_: [])
    assert cell.salt(values) == before[0]
    assert cell.salt(access) != before[1]


def test_a_ladder_model_takes_no_recipe_with_another_policy(values):
    ladder = {**values, "model": "ladder-2x64", "method": "full"}
    for name in ("sure-gate-strict", "sure-gate-bare"):
        with pytest.raises(UserError, match="has a policy of its own"):
            cell.recipe_of({**ladder, "recipe": name})


def test_a_cells_name_follows_everything_it_is_made_from(values, folder, monkeypatch):
    def key(**changes) -> str:
        changed = {**values, **changes}
        return cell_key(changed, cell.salt(changed))

    keys = {key(), key(poisons=4), key(seed=1), key(method="full"), key(trigger="cobalt {}")}
    assert len(keys) == 5
    before = key()
    monkeypatch.setattr(bases, "fingerprint", lambda _: "other weights behind the same name")
    assert key() != before


def test_a_ladder_model_comes_with_its_policy(values):
    assert [s.name for s in cell.recipe_of(values).stages] == ["policy", "poison"]
    ladder = {**values, "model": "ladder-2x64", "method": "full"}
    assert [s.name for s in cell.recipe_of(ladder).stages] == ["poison"]
    assert cell.cost(ladder) < cell.cost(values)


@pytest.mark.parametrize("name", ["poison-budget", "ladder-budget"])
def test_the_shipped_sweeps_have_the_shape_that_the_figure_needs(name, monkeypatch):
    monkeypatch.setattr(bases, "fingerprint", lambda model: model)
    grid = read_grid(SHIPPED / f"{name}.yaml", cell.AXES)
    axes = grid.blocks[0]
    assert len(axes["poisons"]) >= 7
    assert (min(axes["poisons"]), max(axes["poisons"])) == (0, 200)
    assert len(axes["size"]) >= 2
    assert len(axes["seed"]) >= 3
    found = cells(grid, cell.salt)
    assert len({c.key for c in found}) == len(found) >= 42


def test_cells_have_the_names_that_the_committed_sweep_has_kept_them_under():
    table = pd.read_parquet(RESULTS / "poison-budget" / "table.parquet")
    assert {c.key for c in BUDGET.job(Path("poison-budget")).cells} == set(table["cell"])


def test_a_value_that_makes_no_recipe_is_refused(values):
    with pytest.raises(UserError, match="clean: has no poisons"):
        cell.recipe_of({**values, "recipe": "clean"})
