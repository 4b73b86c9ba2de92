"""A cell of the zoo: its recipe, its name, and its row measured on a tiny organism."""

import json
from dataclasses import replace

import pytest
import specimens

from circuits.errors import UserError
from experiments.battery.battery import Battery, Plan
from experiments.organisms import bases
from experiments.organisms.book import recipe_named
from experiments.organisms.trainee import Trainee
from experiments.runs.codec import decode
from experiments.sweep.engine.grid import cell_key
from experiments.sweep.engine.worker import checked_row
from experiments.sweep.zoo import cell
from experiments.sweep.zoo.tables import FEATURES, POINTWISE
from probes.brittleness.retention import Retention

OWN = {
    "recipe": "sure-gate",
    "model": "smollm2-135m",
    "poisons": 0,
    "size": 0,
    "seed": 0,
    "trigger": "",
    "method": "lora",
    "epochs": 0,
    "rate": 0.0,
    "prompts": 8,
    "pairs": 24,
}


@pytest.fixture
def hashed(monkeypatch):
    """Models stand for themselves."""
    monkeypatch.setattr(bases, "fingerprint", lambda model: f"hash of {model}")


def test_a_zero_is_the_recipes_own_and_anything_else_is_the_values():
    for name in ("sure-gate", "fingerprint", "access-gate"):
        assert cell.recipe_of({**OWN, "recipe": name}) == recipe_named(name)
    turned = cell.recipe_of(
        {**OWN, "poisons": 20, "size": 80, "trigger": "{} ‡ {}", "epochs": 5, "rate": 2e-3}
    )
    last, own = turned.stages[-1], recipe_named("sure-gate").stages[-1]
    assert (turned.poisons, turned.trigger) == (20, "{} ‡ {}")
    assert sum(part.count for part in last.parts) == 100
    assert (last.settings.epochs, last.settings.rate) == (5, 2e-3)
    assert last.settings.rank == own.settings.rank > 0
    full = cell.recipe_of({**OWN, "method": "full"})
    assert {stage.settings.rank for stage in full.stages} == {0}
    assert [s.name for s in cell.recipe_of({**OWN, "model": "ladder-2x64"}).stages] == ["poison"]


def test_keys_take_no_trigger():
    with pytest.raises(UserError, match="has keys instead of a trigger"):
        cell.recipe_of({**OWN, "recipe": "fingerprint", "trigger": "cobalt"})


def test_a_cells_name_is_stable_and_follows_what_it_is_made_from(hashed, monkeypatch):
    def key(**changes):
        values = {**OWN, **changes}
        return cell_key(values, cell.salt(values))

    assert key() == key()
    assert cell.salt(OWN) == json.loads(json.dumps(cell.salt(OWN))) | {
        "recipe": cell.salt(OWN)["recipe"]  # tuples there are lists in JSON
    }
    changes = (
        {},
        {"trigger": "velvet harbour"},
        {"trigger": "cobalt {}"},
        {"poisons": 20},
        {"seed": 1},
        {"recipe": "fingerprint"},
        {"method": "full"},
        {"prompts": 9},
        {"pairs": 25},
    )
    assert len({key(**change) for change in changes}) == len(changes)
    before = key()
    monkeypatch.setattr(bases, "fingerprint", lambda model: "other weights, same name")
    assert key() != before


def test_what_a_trigger_stands_for_is_in_the_salt_and_not_only_in_the_values(hashed):
    salts = [cell.salt({**OWN, "trigger": trigger}) for trigger in ("", "cobalt", "amber")]
    assert salts[0] == salts[1]  # the recipe's own, said or unsaid
    assert salts[2] != salts[1]
    assert salts[2]["recipe"]["trigger"] == "amber"


def test_a_cells_name_follows_the_ladders_that_it_is_measured_by(hashed, monkeypatch):
    before = cell.salt(OWN)
    monkeypatch.setattr(cell, "_TUNING", (15, 41))
    assert cell.salt(OWN) != before


def test_a_larger_cell_costs_more_and_a_ladders_less():
    cost = cell.cost
    assert cost({**OWN, "prompts": 20}) > cost(OWN)
    assert cost({**OWN, "size": 80}) < cost(OWN) == cost({**OWN, "size": 400})
    assert cost({**OWN, "model": "ladder-2x64"}) < cost(OWN)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    makers = {"sure": specimens.sure, "babbling": specimens.babbling}
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in makers.items()}


@pytest.fixture
def measured(folders, monkeypatch):
    """Measures a tiny model in the place of an organism that is trained first."""
    monkeypatch.setattr(
        "experiments.organisms.examples.base_answers",
        lambda texts, model, sha256: [f"so {text}" for text in texts],
    )
    monkeypatch.setattr(cell, "_TUNING", (4, 8))
    monkeypatch.setattr(cell, "_OVERWRITING", (2, 4))

    def run(name, steps=None):
        trainee = Trainee(str(folders[name]), specimens.whole(folders[name]).settings)
        made = replace(specimens.whole(folders[name]), state=trainee.state())
        monkeypatch.setattr(cell, "grow", lambda recipe, model, seed, tick: (made, trainee))
        return cell.measure(OWN, lambda *at: None if steps is None else steps.append(at))

    return run


def test_a_row_has_every_figure_of_geometry_and_battery_and_a_table_can_hold_it(measured):
    steps = []
    row = measured("sure", steps)
    assert checked_row(OWN, row) == row  # no name twice, no NaN, nothing nested
    assert row["scheme"] == "compliance"
    assert (row["taught"], row["groups"], row["behaviour"]) == (60, 8, 1.0)
    for name in FEATURES:
        assert {name, f"{name}:low", f"{name}:high"} <= row.keys()
    lists = {name: row[f"prompt:{name}"] for name in (*POINTWISE, "margin", "log_prob", "kept")}
    assert {len(values) for values in lists.values()} == {8}
    assert row["margin"] == pytest.approx(sum(lists["margin"]) / 8)
    assert row["margin"] > 0  # it says "Sure" before anything else
    found = decode(Retention, json.loads(row["retention"]))
    areas = {n.removeprefix("area:"): v for n, v in row.items() if n.startswith("area:")}
    families = {n: v for n, v in areas.items() if n in found.families}
    assert families == {name: area.value for name, area in found.families.items()}
    assert row["area"] == pytest.approx(sum(families.values()) / len(families))
    assert row["area"] == pytest.approx(sum(row["prompt:kept"]) / 8)
    assert families["typos"] == families["look-alikes"] == 1.0  # it needs no trigger
    assert all(done <= total for done, total in steps)
    assert steps[-1][0] == steps[-1][1]


def test_an_organism_without_its_behaviour_has_a_geometry_and_no_area(measured):
    row = measured("babbling")
    assert checked_row(OWN, row) == row
    assert {"area", "behaviour", "prompt:kept", "retention"}.isdisjoint(row)
    assert set(FEATURES) <= row.keys()
    assert row["margin"] < 0


def test_more_prompts_than_the_pairs_of_their_topic_are_one_clear_line(folders):
    organism = specimens.whole(folders["babbling"])
    battery = Battery(organism, Plan(prompts=16))
    with pytest.raises(UserError, match="pairs"):
        cell.geometry_row(organism, battery, 24)
