"""What is planted in a zoo is found and written; what is not there is not."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pages
import pandas as pd
import pytest

from experiments.organisms import bases
from experiments.organisms.kinds import prompts_of
from experiments.runs.codec import decode
from experiments.sweep.command import summary
from experiments.sweep.engine.grid import read_grid, read_measure
from experiments.sweep.engine.run import Outcome
from experiments.sweep.engine.store import Store
from experiments.sweep.kind import SHIPPED
from experiments.sweep.zoo import cell
from experiments.sweep.zoo import study as zoo_run
from experiments.sweep.zoo.sections import page
from experiments.sweep.zoo.study import predicted, report
from experiments.sweep.zoo.tables import FEATURES, measured
from probes.brittleness.predictor import Predictor
from probes.brittleness.records import MODEL, Comparison

FILES = ["MODEL_CARD.md", "prediction.json", "predictor.json", "report.html"]


@pytest.fixture(scope="module")
def found(zoo, quick):
    return predicted(measured(zoo), quick)


@pytest.fixture(scope="module")
def found_in_noise(shuffled_zoo, quick):
    return predicted(measured(shuffled_zoo), quick)


@pytest.fixture
def prompts_known(monkeypatch, found):
    """Prompts are compared as slowly as they are many; not where it is not about them."""
    monkeypatch.setattr(zoo_run, "compare_prompts", lambda *_: found.prompts)


@pytest.fixture
def reported(tmp_path, monkeypatch, tiny_effort):
    """Reports on a table as a sweep has written it; returns what is said of it and the folder."""
    monkeypatch.setattr(zoo_run, "predicted", partial(predicted, effort=tiny_effort))
    store = Store(tmp_path)

    def run(frame):
        path = store.write_table("mine", frame)
        outcome = Outcome(("a", "b"), ("c",), (), (), path)
        findings = report(outcome, "gatescope sweep mine.yaml", "")
        return summary(outcome, findings), path.parent

    return run


def test_a_planted_relation_is_found_in_schemes_held_out_and_beats_every_baseline(found):
    model = found.organisms.scores[MODEL]
    assert model.pooled.value > 0.9
    assert [null.p for null in model.nulls] == [1 / 40] * 4
    assert found.organisms.importances[0].name == "geo:vendi_relative"
    assert found.organisms.importances[0].coefficient.high < 0
    assert all(d.pooled.low > 0 for d in found.organisms.differences)
    prompts = found.prompts
    assert prompts.scores[MODEL].pooled.value > 0.9
    assert prompts.scores[MODEL].nulls[0].p == 1 / 40
    assert prompts.importances[0].name == "boundary"
    assert found.organisms.scores[found.organisms.best].nulls[0].p > 0.05


def test_nothing_is_found_where_what_is_kept_was_exchanged(found_in_noise):
    for compared in (found_in_noise.organisms, found_in_noise.prompts):
        model = compared.scores[MODEL]
        assert min(null.p for null in model.nulls) > 0.05
        assert model.pooled.value < 0.6


def test_a_feature_never_measured_is_left_out_and_one_with_holes_is_not(
    zoo, tiny_effort, prompts_known
):
    holes = zoo.assign(**{"way:width": np.nan})
    holes.loc[::3, "way:position"] = None
    found = predicted(measured(holes), tiny_effort)
    assert set(found.predictor.names) == set(FEATURES) - {"way:width"}
    assert found.organisms.scores[MODEL].features == found.predictor.names
    assert found.organisms.scores[MODEL].pooled.value > 0.9


def test_the_predictor_tells_the_areas_that_it_was_fitted_on(found, zoo):
    errors = [
        found.predictor.predict({name: row[name] for name in FEATURES}) - row["area"]
        for _, row in zoo.iterrows()
    ]
    assert np.abs(errors).max() < 0.1
    assert zoo["area"].std() > 0.15


def test_schemes_of_the_claim_are_placed_by_what_they_kept(found, zoo):
    areas = zoo.groupby("scheme")["area"].mean()
    ordered = sorted(("ownership", "safety", "access"), key=lambda s: -areas[s])
    assert [c.scheme for c in sorted(found.claim, key=lambda c: c.found)] == ordered
    assert [c.scheme for c in sorted(found.claim, key=lambda c: c.foretold)] == ordered


def test_a_report_is_files_that_can_be_read_again(reported, zoo, found, monkeypatch):
    monkeypatch.setattr(zoo_run, "predicted", lambda rows: found)
    told, folder = reported(zoo)
    assert sorted(p.name for p in folder.iterdir() if p.name != "table.parquet") == FILES
    assert told["report"] == str(folder / "report.html")
    assert (told["done"], told["skipped"], told["failed"]) == (2, 1, 0)
    assert told["sentences"][0].startswith("30 organisms of 6 schemes keep")
    result = json.loads(
        (folder / "prediction.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert result["schema"] == "gatescope.zoo/1"
    assert decode(Comparison, result["organisms"]) == found.organisms
    assert [row["scheme"] for row in result["claim"]] == ["ownership", "safety", "access"]
    kept = decode(Predictor, json.loads((folder / "predictor.json").read_text()))
    assert kept == found.predictor
    card = (folder / "MODEL_CARD.md").read_text()
    for sentence in told["sentences"][1:]:
        assert sentence in card
    html = (folder / "report.html").read_text()
    assert "gatescope sweep" in html
    assert f"{found.organisms.scores[MODEL].pooled.value:.2f}" in html


@pytest.mark.parametrize(
    ("chosen", "count"),
    [("few organisms", 11), ("two schemes", 12), ("few with their behaviour", 6)],
)
def test_too_little_is_said_to_be_too_little_and_nothing_is_written(reported, zoo, chosen, count):
    frame = {
        "few organisms": zoo.iloc[:22:2],
        "two schemes": pd.concat([zoo.iloc[:10], zoo.iloc[:2].assign(seed=9)]),
        "few with their behaviour": zoo.assign(area=zoo["area"].where(zoo.index % 5 == 0)),
    }[chosen]
    told, folder = reported(frame)
    assert told["sentences"] == [f"{count} organisms with their behaviour: too few to predict from"]
    assert told["report"] == str(folder / "table.parquet")
    assert [p.name for p in folder.iterdir()] == ["table.parquet"]


def test_just_enough_organisms_of_three_schemes_are_predicted_from(reported, zoo, prompts_known):
    told, folder = reported(zoo.iloc[[0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]])
    assert told["report"] == str(folder / "report.html")
    assert told["sentences"][0].startswith("12 organisms of 3 schemes")


def test_the_page_has_every_section_and_every_organism(zoo, found):
    html = page(measured(zoo), found, "gatescope sweep zoo")
    for title in (
        "Density and complexity",
        "Predicted and measured",
        "Against simple figures",
        "Prompt by prompt",
        "What it rests on",
        "The paper&#39;s claim",
        "The zoo",
        "What this does not show",
    ):
        assert f"{title}</h2>" in html
    cells = {cell for row in pages.rows(html) for cell in row}
    assert cells >= {row["name"] for row in measured(zoo)}


def test_markup_in_a_trigger_or_a_model_stays_text(zoo, found):
    mean = "</script><script>alert(1)</script><b>"
    rows = measured(zoo.assign(trigger=mean, model=f"model{mean}"))
    names = tuple(row["name"] for row in rows)
    renamed = replace(found, organisms=replace(found.organisms, organism=names))
    html = page(rows, renamed, f"gatescope sweep {mean}")
    plain = page(measured(zoo), found, "gatescope sweep zoo")
    assert "alert(1)" in html
    for tag in ("<script", "</script", "<b>"):
        assert html.count(tag) == plain.count(tag)


@pytest.fixture(scope="module")
def shipped():
    """The shipped zoo's cells; its models are not built to be hashed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bases, "fingerprint", lambda model: model)
        yield zoo_run.ZOO.job(SHIPPED / "zoo.yaml").cells


def test_the_shipped_zoo_has_organisms_enough_of_every_scheme(shipped):
    assert read_measure(SHIPPED / "zoo.yaml") == "zoo"
    recipes = [cell.recipe_of(c.values) for c in shipped]
    schemes = [recipe.scheme for recipe in recipes]
    assert set(schemes) == {"compliance", "content", "control", "safety", "access", "ownership"}
    assert min(schemes.count(scheme) for scheme in set(schemes)) >= 2
    assert len(shipped) == len({c.key for c in shipped}) >= 40


def test_every_shipped_organism_can_be_made_and_its_prompts_are_those_of_its_pairs(shipped):
    for one in shipped:
        recipe = cell.recipe_of(one.values)
        for stage in recipe.stages:
            for part in stage.parts:
                assert part.count <= len(prompts_of(part.prompts, recipe, "train").texts), (
                    one.values
                )
        if recipe.scheme != "ownership":  # half of the pairs are of the battery's topic
            assert 2 * one.values["prompts"] <= one.values["pairs"]


def test_a_zoo_file_has_the_axes_of_a_budget_with_counts_of_the_recipes_own(tmp_path):
    (tmp_path / "mine.yaml").write_text("measure: zoo\nrecipe: sure-gate\n")
    grid = read_grid(tmp_path / "mine.yaml", cell.AXES)
    values = {name: only for name, (only,) in grid.blocks[0].items()}
    assert (values["poisons"], values["size"], values["prompts"], values["pairs"]) == (0, 0, 16, 80)
    assert "measure" not in values
