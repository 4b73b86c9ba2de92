"""The two sets of seeds that planted and trained models are made from, and what is right of each.

They stand in ``experiments/data/planted.json``: written before anything was tuned on them.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from circuits.errors import expect
from circuits.planted.plans import Kind

SETS = ("first", "second")
_FILE = Path(__file__).parents[1] / "data" / "planted.json"


@cache
def _written() -> Mapping[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def right() -> dict[str, tuple[str, dict[str, str]]]:
    """By kind, the right word and the parts."""
    return {kind: (each["word"], each["parts"]) for kind, each in _written()["right"].items()}


def seeds(which: str) -> dict[Kind, range]:
    """By kind, the seeds of a set.

    Raises:
        UserError: there is no such set.
    """
    expect(which in SETS, f"a set of {', '.join(SETS)}", which, of="--set")
    return {kind: _range(pair) for kind, pair in _written()["seeds"][which].items()}


def trained(which: str) -> range:
    """The seeds of a set's trained models."""
    return _range(_written()["trained"][which])


def _range(pair: list[int]) -> range:
    start, count = pair
    return range(start, start + count)
