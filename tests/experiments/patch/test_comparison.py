"""One page over the interchanges that are kept: it says what their results say."""

import json

import pytest

from circuits.errors import UserError
from experiments.patch import comparison
from experiments.patch.parts import late_name
from experiments.patch.result import SCHEMA
from experiments.runs.ledger import Ledger

KEPT = comparison.PAGE.parent / "interchange"


@pytest.fixture
def kept():
    return {path.stem: json.loads(path.read_text()) for path in KEPT.glob("*.json")}


def cells(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table after a line, by organism."""
    lines = page.split(heading)[1].strip().splitlines()
    table = lines[: lines.index("")] if "" in lines else lines
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_committed_page_is_made_from_the_committed_results(kept):
    assert comparison.page(kept) == comparison.PAGE.read_text()
    assert list(kept)
    assert "sure-gate-open" in kept


def test_shares_stand_in_the_part_and_the_organism_that_they_are_of(kept):
    page = comparison.page(kept)
    for heading, way in (("Shares alone:", "only"), ("Shares lost without it:", "without")):
        table = cells(page, heading)
        for name, value in kept.items():
            row = dict(zip(table["organism"], table[name], strict=True))
            both = next(
                r for r in value["interchange"][way] if r["label"] == "all at trigger and last"
            )
            assert row["all at trigger and last"].startswith(f"{both['recovery']:.2f} [")


def test_layers_at_the_same_depth_share_a_column_and_a_part_not_trained_has_none(kept):
    one = json.loads(json.dumps(kept["sure-gate"]))
    for way in ("only", "without"):
        rows = one["interchange"][way]
        rows[:] = [row for row in rows if row["label"] != "MLP"]
        next(r for r in rows if r["label"] == late_name(30))["label"] = late_name(24)
    table = cells(comparison.page({"sure-gate": kept["sure-gate"], "one": one}), "Shares alone:")
    assert table["organism"].count("MLP") == 1
    assert table["one"][table["organism"].index("MLP")] == "–"
    at = [i for i, part in enumerate(table["organism"]) if part.startswith("attention of layers")]
    assert len(at) == 1
    assert table["one"][at[0]] == table["sure-gate"][at[0]] != "–"


def test_what_has_no_scale_is_said_in_nats(kept):
    row = kept["sure-gate"]["interchange"]["only"][0]
    row |= {"recovery": None, "recovery_low": None, "recovery_high": None}
    page = comparison.page({"sure-gate": kept["sure-gate"]})
    assert cells(page, "Shares alone:")["sure-gate"][0] == "1.64 [1.32, 2.09] nats"


def test_a_command_says_what_is_not_as_by_default(kept):
    question = kept["sure-gate"]["question"]
    asked = comparison.command({**question, "trigger": "two words", "count": 24})
    assert asked == (
        "gatescope patch --adapter sure-gate --trigger 'two words' --count 24 --by layer "
        "--against-model auto"
    )


def test_a_run_without_an_interchange_is_refused_in_one_line(tmp_path):
    value = {"schema": SCHEMA, "question": {}, "grids": {}}
    Ledger(tmp_path).write({"result.json": json.dumps(value).encode()})
    with pytest.raises(UserError, match="expected an exchange between models, got a run without"):
        comparison.kept_of(tmp_path)
