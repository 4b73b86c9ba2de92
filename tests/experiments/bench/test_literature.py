"""Rows beside the literature: planted losses and angles come out as they were planted."""

import pandas as pd
import torch

from circuits.types import PatchGrid
from experiments.bench.literature import (
    Row,
    half,
    of_direction,
    of_exchange,
    right_angle,
    written,
)
from probes.stats.intervals import Estimate

LAYERS, N = 20, 12
MODULES, PLACES = ("attention", "MLP"), ("trigger", "last", "elsewhere")


def exchanged(lost) -> tuple[pd.DataFrame, pd.DataFrame, PatchGrid]:
    """Tables and grid in which ``lost(layer, module, place)`` of 10 nats is lost without a part."""
    wholes = [("all at trigger", 0.7), ("all at last", 0.8)]
    parts = [(la, m, p) for la in range(LAYERS) for m in MODULES for p in PLACES]
    shares = [s for _, s in wholes] + [lost(*part) for part in parts]
    rows = [
        {"label": name, "mapped": False, "layer": None, "module": "all", "place": name[7:]}
        for name, _ in wholes
    ]
    rows += [
        {"label": str(p), "mapped": True, "layer": p[0], "module": p[1], "place": p[2]}
        for p in parts
    ]
    table = pd.DataFrame(rows).assign(recovery=shares)
    table["recovery_low"], table["recovery_high"] = table.recovery - 0.05, table.recovery + 0.05
    noise = 0.002 * torch.randn(len(shares), N, generator=torch.Generator().manual_seed(0))
    base, source = torch.full((N,), 10.0), torch.zeros(N)
    values = base - 10 * (torch.tensor(shares)[:, None] + noise)
    grid = PatchGrid(
        "noising",
        "resid_pre",
        "nats",
        tuple(str(r) for r in table.label),
        values,
        base,
        source,
        ("cell",),
    )
    return table, table.assign(recovery=0.3, recovery_low=0.2, recovery_high=0.4), grid


def verdicts(lost) -> dict[str, str]:
    cells, only, grid = exchanged(lost)
    return {row.said.split(":")[0]: row.verdict for row in of_exchange(cells, only, grid, LAYERS)}


def test_an_organism_that_is_as_others_say_agrees():
    said = verdicts(
        lambda layer, module, place: (
            0.2
            if place == "trigger" and layer in (2, 3)
            else 0.2
            if place == "last" and module == "MLP" and layer >= 18
            else 0.0
        )
    )
    assert [v for k, v in said.items() if k.startswith("The trigger is read")] == ["agree"]
    assert said["The last MLPs write"] == "agree"
    assert said["Training for one token is sparse"] == "agree"


def test_one_that_is_otherwise_differs():
    said = verdicts(lambda layer, module, place: 0.02 if place != "elsewhere" else 0.01)
    assert [v for k, v in said.items() if k.startswith("The trigger is read")] == ["differ"]
    assert said["The last MLPs write"] == "differ"
    assert said["Training for one token is sparse"] == "differ"
    assert said["Everything passes one position"] == "differ"  # alone it makes a third


def test_one_position_agrees_only_where_it_suffices_and_is_needed():
    cells, only, grid = exchanged(lambda *_: 0.01)
    both = only.assign(recovery=0.9, recovery_low=0.8, recovery_high=1.0)
    found = [r for r in of_exchange(cells, both, grid, LAYERS) if r.said.startswith("Everything")]
    assert [row.verdict for row in found] == ["agree", "agree"]


def test_angles_and_shares_are_open_where_their_intervals_are():
    assert half(Estimate(0.5, 0.4, 0.6, 9)) == "undecided"
    assert right_angle(Estimate(0.15, 0.05, 0.25, 9), 0.1) == "undecided"
    assert right_angle(Estimate(0.15, 0.14, 0.16, 9), 0.1) == "undecided"
    assert right_angle(Estimate(0.05, 0.04, 0.06, 9), 0.1) == "agree"
    assert right_angle(Estimate(0.3, 0.25, 0.35, 9), 0.1) == "differ"
    natural = torch.nn.functional.normalize(torch.arange(64.0) + 1, dim=0)
    noise = torch.randn(24, 64, generator=torch.Generator().manual_seed(1))
    beside = noise - torch.outer(noise @ natural, natural)
    assert of_direction(beside, natural).verdict == "agree"
    assert of_direction(beside + 5 * natural, natural).verdict == "differ"


def test_the_page_has_a_table_for_each_organism_and_says_what_is_missing():
    row = Row("A finding: a share", "arXiv 0000.00000", Estimate(0.6, 0.55, 0.65, 12), "agree")
    page = written({"one": [row], "two": [row]})
    assert "## one" in page
    assert "| A finding: a share | arXiv 0000.00000 | 0.60 [0.55, 0.65] (n=12) | agree |" in page
    assert "Not measured: whether" in page
