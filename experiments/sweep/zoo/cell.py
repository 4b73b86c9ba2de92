"""One organism of the zoo: trained, measured by geometry, and asked by the battery.

The geometry is read at the last token in the last third of the layers; each of its figures is the
mean over these layers (and so are the ends of its interval, which is too wide rather than too
narrow where layers differ). Lists have one entry per prompt of the battery.
"""

import json
from collections.abc import Mapping
from typing import Any

from circuits.errors import UserError
from circuits.types import Progress
from experiments.battery.battery import Battery, Plan
from experiments.battery.measure import measured
from experiments.geometry.design import design
from experiments.geometry.record import Recorded, late, record
from experiments.geometry.summary import WAY, band
from experiments.organisms.organism import Organism
from experiments.organisms.recipe import Recipe
from experiments.organisms.train import grow
from experiments.prompts import bank
from experiments.runs.codec import as_json
from experiments.sweep.budget import cell as budget
from experiments.sweep.engine.grid import Axis
from probes.geometry.pointwise import pointwise
from probes.geometry.report import geometry
from probes.geometry.sets import ActivationSets
from probes.stats.intervals import Estimate

SCHEMA = "gatescope.zoo-cell/1"
FUNCTION = "experiments.sweep.zoo.cell:measure"
SETS = {
    "": None,
    "untrained": "untrained_trigger",
    "clean": "clean_model",
    "random": "random_direction",
}
_TUNING, _OVERWRITING = (15, 40), (10, 20)
Values = Mapping[str, Any]

AXES: dict[str, Axis] = {
    **{name: axis for name, axis in budget.AXES.items() if name != "prompts"},
    "poisons": Axis(int, (0,), least=0),
    "size": Axis(int, (0,), least=0),
    "prompts": Axis(int, (16,), least=8),
    "pairs": Axis(int, (80,), least=22),
}


def recipe_of(values: Values) -> Recipe:
    """The recipe of a cell; a count of 0 is the recipe's own.

    Raises:
        UserError: values that make no recipe.
    """
    return budget.recipe_of(values, zero=None)


def salt(values: Values) -> dict[str, Any]:
    """What a cell's values stand for: the recipe in full, hashes of model and prompts."""
    recipe, model = recipe_of(values), values["model"]
    facts = budget.known_facts(recipe, "test")
    held_out = [*budget.asked(recipe), *bank.control_words("test"), *facts]
    ladders = [list(_TUNING), list(_OVERWRITING)]
    return budget.stated(SCHEMA, recipe, model, held_out, ladders=ladders)


def cost(values: Values) -> float:
    """About how long a cell takes."""
    return budget.cost({**values, "size": values["size"] or 400}) + 10 * values["prompts"]


def measure(values: Values, progress: Progress) -> dict[str, Any]:
    """Train, record, ask; returns one flat row (lists for what is measured per prompt)."""
    recipe = recipe_of(values)
    organism, trainee = grow(
        recipe,
        values["model"],
        values["seed"],
        lambda done, total, _loss: progress(done, 3 * total),
    )
    plan = Plan(values["prompts"], _TUNING, _OVERWRITING, seed=values["seed"])
    battery = Battery(organism, plan, trainee)
    row: dict[str, Any] = {"scheme": recipe.scheme, "taught": recipe.poisons}
    row |= geometry_row(organism, battery, values["pairs"])
    progress(1, 2)
    retention = measured(battery, lambda done, total: progress(total + done, 2 * total))
    if retention is None:
        return row
    row |= {"behaviour": retention.baseline.value, **_ends("area", retention.area)}
    for family, area in retention.families.items():
        row |= _ends(f"area:{family}", area)
    row["prompt:kept"] = list(retention.prompts)
    row["retention"] = json.dumps(as_json(retention), sort_keys=True)
    return row


def geometry_row(organism: Organism, battery: Battery, pairs: int) -> dict[str, Any]:
    """Figures of the geometry: of the organism, of its nulls, and of single prompts."""
    layout = design(organism.recipe, organism.tokenizer, pairs)
    count, groups = len(battery.asked.groups), len(set(battery.asked.groups))
    if layout.topic is not None and count > int(layout.topic.sum()):
        raise UserError(f"pairs: expected at least {2 * count}, twice the prompts, got {pairs}")
    recorded = record(organism, layout, count, lambda done, total: None, battery.model)
    layers = late(len(recorded.residuals["clean"]))
    sets = recorded.sets(layout, layers)
    report = geometry(sets)
    row: dict[str, Any] = {
        "groups": groups,
        "margin": float(recorded.margin[:count].mean()),
        "log_prob": float(recorded.log_prob[:count].mean()),
    }
    for short, null in SETS.items():
        if null is not None and null not in report.nulls:
            continue
        for name in report.organism.values:
            row |= _ends(f"{short or 'geo'}:{name}", band(report, name, report.layers, null))
    assert report.crossings is not None  # recorded above
    for name in WAY:
        row |= _ends(f"way:{name}", getattr(report.crossings, name))
    row |= {f"prompt:{name}": values for name, values in per_prompt(recorded, sets, count).items()}
    return row


def per_prompt(recorded: Recorded, sets: ActivationSets, count: int) -> dict[str, list[float]]:
    """Numbers of the battery's prompts, which are the design's first."""
    numbers = {
        **pointwise(sets),
        "margin": recorded.margin,
        "log_prob": recorded.log_prob,
        "ease": recorded.probabilities.mean(dim=1),
    }
    return {name: value[:count].double().tolist() for name, value in numbers.items()}


def _ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    ends = {name: "value", f"{name}:low": "low", f"{name}:high": "high"}
    return {k: None if estimate is None else getattr(estimate, end) for k, end in ends.items()}
