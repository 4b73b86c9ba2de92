"""The two sets of seeds that planted and trained models are made from, and what is right of each.

They stand in ``experiments/data/planted.json``: written before anything was tuned on them. Scores
are kept as they come, so that a set that was stopped goes on.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from circuits.errors import expect
from circuits.planted.plans import Kind
from experiments.runs import codec
from experiments.runs.files import write_json
from experiments.runs.stages import Step

S = TypeVar("S")
K = TypeVar("K", bound=Hashable)
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
    """The seeds of a set's trained models.

    Raises:
        UserError: there is no such set.
    """
    expect(which in SETS, f"a set of {', '.join(SETS)}", which, of="--set")
    return _range(_written()["trained"][which])


def _range(pair: list[int]) -> range:
    start, count = pair
    return range(start, start + count)


def read(kind: type[S], file: Path) -> list[S]:
    """The scores that are kept; none where there is no file."""
    if not file.exists():
        return []
    return codec.decode(list[kind], json.loads(file.read_text(encoding="utf-8")), where=str(file))


def scored(
    kind: type[S],
    file: Path,
    wanted: Sequence[K],
    name: Callable[[S], K],
    score: Callable[[K], S],
    step: Step,
) -> list[S]:
    """The scores of what is wanted: those that a file has, the others measured and kept in it.

    Args:
        name: what a score is of.
    """
    kept = {name(each): each for each in read(kind, file)}
    for done, one in enumerate(wanted):
        step(f"{file.stem} set", done, len(wanted))
        if one not in kept:
            kept[one] = score(one)
            write_json(file, codec.as_json(list(kept.values())))
    step(f"{file.stem} set", len(wanted), len(wanted))
    return [kept[one] for one in wanted]
